"""What the facade answers, by subject: each room holds the methods of `gateway.control.api.Gateway` about one."""
