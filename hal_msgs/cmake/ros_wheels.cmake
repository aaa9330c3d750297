# Let find_package() see a ROS 2 that was installed with pip: its CMake files lie under the prefix of the Python
# environment (or of pip's build environment), three folders above site-packages.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
execute_process(
  COMMAND ${Python3_EXECUTABLE} -c
    "import pathlib, std_msgs; print(pathlib.Path(std_msgs.__file__).parents[4])"
  OUTPUT_VARIABLE ros_wheels_prefix
  OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
list(PREPEND CMAKE_PREFIX_PATH "${ros_wheels_prefix}")
set(ENV{AMENT_PREFIX_PATH} "${ros_wheels_prefix}")
# Without it, the generator asks the interpreter, which answers with a folder that is not below the install prefix.
set(PYTHON_INSTALL_DIR "lib/python${Python3_VERSION_MAJOR}.${Python3_VERSION_MINOR}/site-packages"
  CACHE STRING "Where the generated Python modules are installed" FORCE)
message(STATUS "ROS wheels: ${ros_wheels_prefix}")

# The wheels' exported targets name include folders of the machine that built them (/opt/python/...); CMake refuses
# targets whose include folders do not exist.
macro(drop_foreign_include_directories)
  get_property(imported_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(imported_target IN LISTS imported_targets)
    get_target_property(include_directories ${imported_target} INTERFACE_INCLUDE_DIRECTORIES)
    if(include_directories)
      list(FILTER include_directories EXCLUDE REGEX "^/opt/python/")
      set_target_properties(${imported_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${include_directories}")
    endif()
  endforeach()
endmacro()
