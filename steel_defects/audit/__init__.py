"""Which labels look wrong, judged by nets that have not seen them."""
