"""What all stacks share: clients, CloudFormation, networks, policies, and what `hearth infra` asks of a stack."""
