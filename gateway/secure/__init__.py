"""Front doors that browsers hold to be secure contexts: `.localhost` names, and local HTTPS with a CA of our own."""
