"""What is known of unlabelled images before an encoder has learnt: labels spread over the graph of nearest features."""
