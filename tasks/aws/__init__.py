"""Clients of AWS, and the stacks that are deployed there."""
