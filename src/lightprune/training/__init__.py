"""The Lightning side: data, network, training step, and the callback that prunes."""
