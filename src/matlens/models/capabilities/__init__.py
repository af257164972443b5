"""What some classifiers can do besides: small protocols, each with the refusal of those that cannot."""
