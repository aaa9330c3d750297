"""Bags of two robots that others modelled: bimanual ALOHA and a Panda arm, with scripted phases as the truth.

The simulators live in an environment of their own, since their MuJoCo is older than this project's.
"""
