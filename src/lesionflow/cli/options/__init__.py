"""Options that several verbs understand, each defined once."""
