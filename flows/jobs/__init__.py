import logging

logging.getLogger("roundsman").setLevel(logging.INFO)  # a worker's root logger would drop what an operator follows
