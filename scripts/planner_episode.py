"""One simulated episode that a planner drives, in one process and in simulated time, and how well that went."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hal_planner import tabletop
from hal_planner.options import Option
from hal_planner.planner import Boundary, Command, Outcome, Planner, State
from hal_ros.sim.benchmark import RECIPES, EpisodeSpec
from hal_ros.sim.driven.disturbances import Disturbances
from hal_ros.sim.driven.executor import Executor
from hal_ros.sim.driven.goals import Goals
from hal_ros.sim.episode import Simulation
from planner_events import Event, Events

DELAY_TICKS = 5
"""Of 10 ms, from what an event speaks of to the planner: about what the live system takes."""
LIMIT_S = 180.0
LAST_TICKS = 50  # until what was let go of has come to rest


@dataclass
class Result:
    """What happened in an episode. A switch is wrong where the motion still ran, or what it counts as done is not."""

    success: bool = False
    goals: float = 0.0  # share of the recipe's macros that are done
    time_s: float = 0.0  # until the plan ended; LIMIT_S where it never did
    early: int = 0  # options that were ended while their motion ran, but for those that had failed
    false_successes: int = 0  # options that were taken to have succeeded and had not
    wait_s: float = 0.0  # mean from the end of a motion to the next option
    retries: int = 0
    safe: int = 0  # how often the safe option ran
    errors: Counter[str] = field(default_factory=Counter)  # what ended wrongly, by option and reason
    durations_s: list[tuple[str, float]] = field(default_factory=list)  # of options whose motion was done

    @property
    def wrong_switches(self) -> int:
        """Early ends and false successes."""
        return self.early + self.false_successes


class DrivenEpisode:
    """A planner, an executor and a source of events, joined."""

    def __init__(
        self,
        spec: EpisodeSpec,
        kinds: Disturbances,
        planner: Planner,
        make_events: Callable[[Simulation], Events],
        limit_s: float = LIMIT_S,
    ) -> None:
        self._planner, self._limit_s = planner, limit_s
        self._executor = Executor(spec.seed, kinds)
        self._simulation = Simulation(spec, self._executor.script)
        self._goals = Goals(self._simulation.physics, RECIPES[spec.recipe])
        self.events = make_events(self._simulation)
        self._state: State = planner.start(tabletop.plan_of(RECIPES[spec.recipe]), tabletop.START)
        self._option: Option | None = None
        self._done_s: float | None = None  # since when the motion of the option is over
        self._begun_s = 0.0
        self._waits: list[float] = []
        self._over = False
        self.result = Result()
        self.commands: list[Command] = []

    def run(self) -> Result:
        """Step to the plan's end, or to the limit."""
        waiting: deque[tuple[int, list[Event]]] = deque()
        simulation, result = self._simulation, self.result
        last = round(self._limit_s * 100)
        for tick in range(last):
            simulation.step()
            self._goals.observe()
            now_s = simulation.time_ns / 1e9
            if self._done_s is None and self._executor.now.done and self._option is not None:
                self._done_s = now_s
            waiting.append((tick + DELAY_TICKS, self.events.at(simulation, now_s)))
            while waiting and waiting[0][0] <= tick:
                for event in waiting.popleft()[1]:
                    self._hear(event, now_s)
            if tick % 10 == 0:
                self._take(self._planner.on_time(self._state, now_s), now_s)
            if self._over:
                break
        result.time_s = simulation.time_ns / 1e9 if self._over else self._limit_s
        for _ in range(LAST_TICKS):
            simulation.step()
            self._goals.observe()
        reached = self._goals.reached()
        result.goals = sum(reached.values()) / len(reached)
        result.success = all(reached.values())
        result.wait_s = sum(self._waits) / max(len(self._waits), 1)
        return result

    def _hear(self, event: Event, now_s: float) -> None:
        if isinstance(event, Boundary):
            self._take(self._planner.on_boundary(self._state, event), now_s)
        else:
            self._take(self._planner.on_label(self._state, event), now_s)

    def _take(self, answer: tuple[State, Command | None], now_s: float) -> None:
        self._state, command = answer
        if command is None:
            return
        self.commands.append(command)
        if self._option is not None:
            self._judge(self._option, command, now_s)
        self._option = self._planner.domain[command.option] if command.option else None
        self._done_s, self._begun_s = None, now_s
        self.events.begin(self._option, now_s)
        if self._option is None:
            self._over = True
        else:
            self._executor.tell(command.skill)

    def _judge(self, option: Option, command: Command, now_s: float) -> None:
        """Count what was wrong about the end of an option."""
        result = self.result
        result.safe += command.option == "safe"
        result.retries += command.outcome is Outcome.FAILED
        if self._done_s is not None:
            self._waits.append(now_s - self._done_s)
            result.durations_s.append((option.name, self._done_s - self._begun_s))
        elif option.name != "safe":
            result.early += 1
            result.errors[f"{option.name} ended early: {command.reason}"] += 1
            return
        if command.outcome is Outcome.SUCCEEDED and not self._has_succeeded(option):
            result.false_successes += 1
            result.errors[f"{option.name} had not succeeded: {command.reason}"] += 1

    def _has_succeeded(self, option: Option) -> bool:
        """Tell whether the world shows what a pick or a placing was to bring about; of others it is not asked."""
        verb, _, rest = option.name.partition("_")
        if verb == "pick":
            return self._executor.held() == rest
        if verb == "place":
            colour, _, receptacle = rest.partition("_on_")
            return self._goals.lies(colour, receptacle)
        return True
