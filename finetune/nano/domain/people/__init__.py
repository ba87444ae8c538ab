"""Questions as people really put them, and questions that nano cannot answer: for training."""
