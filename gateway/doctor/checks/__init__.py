"""What is made of the facts, by subject: pure functions, each of which gives findings. `every` asks all of them."""
