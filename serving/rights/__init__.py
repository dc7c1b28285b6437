"""Rights: what people can ask of a score, who asked about them and what for."""
