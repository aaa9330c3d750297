"""The networks: causal HAL, the frozen encoder, joint-guided attention, latents and their losses."""
