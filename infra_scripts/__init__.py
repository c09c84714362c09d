"""What runs on AWS is described and deployed here, a folder a stack; `machine` is what machines carry."""
