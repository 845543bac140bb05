"""What is wrong with this machine, this home and this gateway, and what helps: facts are gathered, checks read them, findings are told."""
