"""Code that all stacks share: clients, CloudFormation, networks, policies, and the interface of `hearth infra`."""
