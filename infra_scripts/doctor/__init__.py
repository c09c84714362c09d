"""What `hearth infra doctor` looks at before a stack is brought up: a module a kind of question."""
