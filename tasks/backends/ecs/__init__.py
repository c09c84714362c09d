"""The ECS service of a pool: tasks behind a load balancer, asked for, followed and given back."""
