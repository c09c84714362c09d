"""AWS's prices, assumptions about work to come, and the cost of machines that ran."""
