"""Where signed records come from: each room is one RecordSource."""
