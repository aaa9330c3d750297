"""The scene as an MJCF document: arm, table, the stations of a layout in the colours of a look, and the room."""

from __future__ import annotations

import math
from typing import Any

import cv2
import mujoco
import numpy as np

from hal_ros.sim.arm import ASSETS
from hal_ros.sim.world import layout as table_layout
from hal_ros.sim.world.layout import TableLayout
from hal_ros.sim.world.look import Colour, Look, Vector
from hal_ros.sim.world.room import room

TIMESTEP_S = 0.0025


def build(layout: TableLayout, look: Look, width_px: int = 640, height_px: int = 480) -> mujoco.MjModel:
    """Compile the scene; the size is the largest picture that may be rendered of it."""
    textures = {"table": look.table, "wall": look.wall, "floor": look.floor}
    assets = {f"{name}.png": cv2.imencode(".png", rgb[..., ::-1])[1].tobytes() for name, rgb in textures.items()}
    return mujoco.MjModel.from_xml_string(_document(layout, look, width_px, height_px), assets)


def _objects(layout: TableLayout, look: Look) -> str:
    c = look.colours
    parts = [_table(), room(look, layout.edge_items)]
    parts += [_block(name, block, c[name]) for name, block in layout.blocks.items()]
    makers = {"plate": _plate, "tray": _tray, "bowl": _bowl, "cup": _cup}
    parts += [makers[name](xy, c) for name, xy in layout.places.items() if name in makers]
    if "button" in layout.places:
        parts.append(_button(layout.places["button"], layout.pedestal_height, c))
    if layout.drawer_side:
        parts.append(_drawer(layout, c))
    if layout.balls_in:
        parts.append(_balls(layout, c["ball"]))
    return "".join(parts)


def _document(layout: TableLayout, look: Look, width_px: int, height_px: int) -> str:
    textures = "".join(
        f'<texture name="{n}" type="2d" file="{n}.png"/>'
        f'<material name="{n}" texture="{n}" texrepeat="{r} {r}" specular="{s}" shininess="0.2"/>'
        for n, r, s in (("table", 1, 0.1), ("wall", 1, 0), ("floor", 4, 0))
    )
    return f"""<mujoco model="tabletop">
<compiler angle="radian" autolimits="true" meshdir="{ASSETS}"/>
<option timestep="{TIMESTEP_S}" integrator="implicitfast" cone="elliptic" impratio="10"><flag sleep="enable"/></option>
<size memory="8M"/>
<statistic extent="1" center="0.2 0 0.1"/>
<visual><headlight ambient="{_v(look.ambient)}" diffuse="{_v(look.headlight)}" specular="0 0 0"/>
 <global offwidth="{width_px}" offheight="{height_px}"/>
 <quality shadowsize="1024" offsamples="0" numslices="14" numstacks="8"/>
 <map znear="0.05" zfar="8" shadowclip="1.2" shadowscale="0.5"/></visual>
<default><geom friction="1 0.01 0.001" solref="0.008 1"/>
 <default class="deco"><geom contype="0" conaffinity="0"/></default></default>
<include file="{ASSETS / "wxai.xml"}"/>
<asset>{textures}
 <material name="lamp_off" rgba="0.09 0.09 0.08 1" specular="0"/>
 <material name="lamp_on" rgba="1 0.95 0.35 1" emission="0.9"/>
</asset>
<worldbody>
<light name="key" pos="{_v(look.key_position)}" dir="{_v(np.array([0.2, 0, 0]) - look.key_position)}"
 diffuse="{_v(look.key_light)}" specular="0.2 0.2 0.2" cutoff="70" exponent="0.5"/>
<light name="fill" pos="1 0 2" dir="-0.4 0 -1" diffuse="{_v(look.fill_light)}" specular="0 0 0" castshadow="false"/>
{_camera(look)}
{_objects(layout, look)}
</worldbody>
<contact>{_excluded(layout)}</contact>
</mujoco>"""


def _excluded(layout: TableLayout) -> str:
    """Moving parts do not collide with the fixed part that carries them; the joint's range stops them."""
    pairs = [("pedestal", "button")] if "button" in layout.places else []
    pairs += [("cabinet", "drawer")] if layout.drawer_side else []
    return "".join(f'<exclude body1="{a}" body2="{b}"/>' for a, b in pairs)


def _v(values: Any) -> str:
    return " ".join(f"{float(v):.5g}" for v in values)


def _rgba(colour: Colour, factor: float = 1.0) -> str:
    return _v([min(1.0, factor * channel) for channel in colour]) + " 1"


def _camera(look: Look) -> str:
    back: Vector = look.camera - look.target
    back = back / np.linalg.norm(back)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    axes = f"{_v(right)} {_v(np.cross(back, right))}"
    return f'<camera name="front" pos="{_v(look.camera)}" xyaxes="{axes}" fovy="{look.fovy_deg:.4f}"/>'


def _table() -> str:
    legs = "".join(
        f'<geom class="deco" type="box" size="0.025 0.025 0.34" pos="{x} {y} -0.38" rgba="0.25 0.25 0.27 1"/>'
        for x in (-0.22, 0.52)
        for y in (-0.55, 0.55)
    )
    return f'<geom name="table" type="box" size="0.4 0.6 0.02" pos="0.15 0 -0.02" material="table"/>{legs}'


def _block(name: str, block: table_layout.Block, colour: Colour) -> str:
    h = block.half
    return (
        f'<body name="{name}" pos="{_v(block.xy)} {h + 0.0005:.5f}" euler="0 0 {block.yaw:.5f}"><freejoint/>'
        f'<geom name="{name}" type="box" size="{h:.5f} {h:.5f} {h:.5f}" rgba="{_rgba(colour)}" mass="0.045"/></body>'
    )


def _plate(xy: tuple[float, float], c: Any) -> str:
    z = table_layout.SURFACE_Z
    return (
        f'<body name="plate" pos="{_v(xy)} 0"><geom type="cylinder" size="0.057 {z / 2}" pos="0 0 {z / 2}" '
        f'rgba="{_rgba(c["plate"])}"/><geom class="deco" type="cylinder" size="0.06 {z / 2 - 0.002}" '
        f'pos="0 0 {z / 2 - 0.002}" rgba="{_rgba(c["plate_rim"])}"/></body>'
    )


def _tray(xy: tuple[float, float], c: Any) -> str:
    z, side, rim = table_layout.SURFACE_Z, 0.055, 0.005
    walls = "".join(
        f'<geom type="box" size="{_v(size)}" pos="{_v(pos)}" rgba="{_rgba(c["tray"], 0.7)}"/>'
        for sign in (-1, 1)
        for size, pos in (
            ((rim / 2, side, z), (sign * side, 0, z)),
            ((side, rim / 2, z), (0, sign * side, z)),
        )
    )
    floor = f'<geom type="box" size="{side} {side} {z / 2}" pos="0 0 {z / 2}" rgba="{_rgba(c["tray"])}"/>'
    return f'<body name="tray" pos="{_v(xy)} 0">{floor}{walls}</body>'


def _ring(radius: float, count: int, size: tuple[float, float, float], z: float, style: str, lean: float = 0.0) -> str:
    """Boxes around a circle: the walls of cup and bowl. `lean` tilts their tops outwards."""
    return "".join(
        f'<geom type="box" size="{_v(size)}" pos="{radius * math.cos(a):.5f} {radius * math.sin(a):.5f} {z:.5f}" '
        f'euler="{-lean * math.sin(a):.5f} {lean * math.cos(a):.5f} {a:.5f}" {style}/>'
        for a in np.arange(count) * 2 * math.pi / count
    )


def _bowl(xy: tuple[float, float], c: Any) -> str:
    style = f'rgba="{_rgba(c["bowl"])}" condim="3"'
    wall = _ring(0.058, 14, (0.0022, 0.0142, 0.021), 0.023, style)
    floor = f'<geom type="cylinder" size="0.059 0.003" pos="0 0 0.003" rgba="{_rgba(c["bowl"], 0.75)}"/>'
    return f'<body name="bowl" pos="{_v(xy)} 0">{floor}{wall}</body>'


def _cup(xy: tuple[float, float], c: Any) -> str:
    half, thick = table_layout.CUP_HEIGHT / 2, 0.0022
    width = (table_layout.CUP_RADIUS - thick) * math.tan(math.pi / 8) + 0.0005
    style = f'rgba="{_rgba(c["cup"])}" mass="0.004" friction="1.2 0.01 0.001"'
    wall = _ring(table_layout.CUP_RADIUS - thick, 8, (thick, width, half), half, style)
    floor = (
        f'<geom type="cylinder" size="0.0245 0.011" pos="0 0 0.011" rgba="{_rgba(c["cup"], 0.6)}" mass="0.04" '
        'friction="0.5 0.01 0.001"/>'
    )
    yaw = table_layout.cup_yaw(xy)
    return f'<body name="cup" pos="{_v(xy)} 0.0005" euler="0 0 {yaw:.5f}"><freejoint/>{floor}{wall}</body>'


def _balls(layout: TableLayout, colour: Colour) -> str:
    x, y = layout.places[layout.balls_in]
    r, spread, base = table_layout.BALL_RADIUS, 0.0101, 0.024 if layout.balls_in == "cup" else 0.008
    balls = []
    for i in range(table_layout.BALL_COUNT):
        level, corner = divmod(i, 4)
        angle = math.pi / 2 * corner + math.pi / 4 * level + table_layout.cup_yaw((x, y))
        pos = (x + spread * 1.18 * math.cos(angle), y + spread * 1.18 * math.sin(angle), base + r + 1.75 * r * level)
        balls.append(
            f'<body name="ball_{i}" pos="{_v(pos)}"><freejoint/><geom type="sphere" size="{r}" mass="0.003" '
            f'rgba="{_rgba(colour)}" condim="4" friction="0.4 0.002 0.0005"/></body>'
        )
    return "".join(balls)


def _button(xy: tuple[float, float], height: float, c: Any) -> str:
    h, cap = height / 2, table_layout.CAP_HEIGHT / 2
    return (
        f'<body name="pedestal" pos="{_v(xy)} 0"><geom type="box" size="0.034 0.034 {h:.5f}" pos="0 0 {h:.5f}" '
        f'rgba="{_rgba(c["pedestal"])}"/>'
        f'<geom class="deco" name="lamp" type="box" size="0.012 0.03 0.006" pos="0.03 0 {height + 0.006:.5f}" '
        'material="lamp_off"/>'
        f'<body name="button" pos="-0.006 0 {height + cap:.5f}"><joint name="button" type="slide" axis="0 0 -1" '
        f'range="0 {table_layout.BUTTON_TRAVEL}" stiffness="110" damping="1.5" armature="0.01" springref="-0.002"/>'
        f'<geom name="cap" type="cylinder" size="0.017 {cap}" rgba="{_rgba(c["cap"])}" mass="0.01" '
        'solref="0.006 1"/></body></body>'
    )


def _drawer(layout: TableLayout, c: Any) -> str:
    """A cabinet whose drawer opens towards the camera; the handle is a bar across, in front of the drawer's face."""
    front, box, stand = layout.drawer_x - 0.042, "0.004 0.056 0.028", 0.021
    cabinet, drawer = _rgba(c["cabinet"]), _rgba(c["drawer"])
    dark, steel = _rgba(c["drawer"], 0.55), "0.75 0.75 0.78 1"
    stands = "".join(
        f'<geom class="deco" type="box" size="{stand} 0.004 0.004" pos="{stand} {y} 0.055" rgba="{steel}"/>'
        for y in (-0.036, 0.036)
    )
    return f"""<body name="cabinet" pos="{front:.5f} {layout.drawer_y:.5f} 0">
<geom type="box" size="0.068 0.066 0.003" pos="-0.072 0 0.069" rgba="{cabinet}"/>
<geom type="box" size="0.068 0.004 0.036" pos="-0.072 0.062 0.036" rgba="{cabinet}"/>
<geom type="box" size="0.068 0.004 0.036" pos="-0.072 -0.062 0.036" rgba="{cabinet}"/>
<geom type="box" size="0.003 0.062 0.036" pos="-0.137 0 0.036" rgba="{cabinet}"/>
<body name="drawer">
<joint name="drawer" type="slide" axis="1 0 0" range="0 {table_layout.DRAWER_TRAVEL}" damping="4" frictionloss="0.6"
 armature="0.1"/>
<geom type="box" size="{box}" pos="-0.004 0 0.034" rgba="{drawer}" mass="0.1"/>
<geom type="box" size="0.062 0.052 0.002" pos="-0.068 0 0.01" rgba="{dark}" mass="0.1"/>
<geom type="box" size="0.062 0.002 0.02" pos="-0.068 0.052 0.03" rgba="{drawer}" mass="0.02"/>
<geom type="box" size="0.062 0.002 0.02" pos="-0.068 -0.052 0.03" rgba="{drawer}" mass="0.02"/>
<geom type="box" size="0.002 0.052 0.02" pos="-0.13 0 0.03" rgba="{drawer}" mass="0.02"/>
{stands}<geom name="handle" type="box" size="0.005 0.04 0.007" pos="0.042 0 0.055" rgba="{steel}" mass="0.03"/>
</body></body>"""
