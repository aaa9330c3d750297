#!/bin/sh
# Run a command in the environment .venv; over a sourced ROS distribution, with the hal_msgs that scripts/setup_env.py built for it.
export VIRTUAL_ENV="$PWD/.venv" PATH="$PWD/.venv/bin:$PATH"
COLCON_CURRENT_PREFIX=build/interfaces/install
if [ -f "$COLCON_CURRENT_PREFIX/local_setup.sh" ]; then
  COLCON_CURRENT_PREFIX=$(realpath "$COLCON_CURRENT_PREFIX")
  . "$COLCON_CURRENT_PREFIX/local_setup.sh"
fi
# Set by the ROS wheels of another environment that called this one, it would keep ours from finding its libraries.
unset COLCON_CURRENT_PREFIX _ROS_WHEELS_BOOTSTRAP_COMPLETE
exec "$@"
