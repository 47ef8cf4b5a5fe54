"""Reference databases: frames whose polyp was removed, with features of the mucosa where it was."""
