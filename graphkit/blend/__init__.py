"""How much the towers weigh beside the edges: the setting, and its choice on a hold-out."""
