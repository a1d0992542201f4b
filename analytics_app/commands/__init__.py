"""The commands behind `analytics`, a module each; imported when the command is used."""
