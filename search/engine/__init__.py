"""Proposes and stops: searcher, sampler, scheduler, and the study that they leave."""
