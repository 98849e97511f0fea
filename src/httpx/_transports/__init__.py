"""What a client sends its requests through: the network (`default`), or an application or a function in its place."""
