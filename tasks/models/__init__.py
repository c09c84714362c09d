"""What each model asks for: prompt, endpoint, options and clean-up, as data in `profiles/`."""
