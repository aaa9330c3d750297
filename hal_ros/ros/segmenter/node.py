"""The lifecycle node `segmenter`: it wires subscriptions, worker and publishers together; the work is elsewhere."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # Humble defines it there
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Trigger

from hal_ros.bags.answer_messages import warm_up
from hal_ros.core.decoding.known_plan import PlanTracker, plan_ids, plan_names
from hal_ros.core.errors import BackendError, ConfigError, HalError
from hal_ros.core.planning.known import LastKnown
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.ros import params
from hal_ros.ros.convert import rgb_converter
from hal_ros.ros.printable_logs import PrintableLogs
from hal_ros.ros.segmenter.configuring import OpenBackend, Opening, open_model, open_proven_backend
from hal_ros.ros.segmenter.inputs import message_filters
from hal_ros.ros.segmenter.planner import PlannerServices, new_tracker
from hal_ros.ros.segmenter.publishers import ANSWERS, Publishers
from hal_ros.ros.segmenter.reporter import Reporter
from hal_ros.ros.segmenter.session import Configured, Opened, Session
from hal_ros.ros.segmenter.silence import poll_s
from hal_ros.ros.segmenter.topics import all_names, chosen_topics, declare_topics
from hal_ros.ros.segmenter.waiting import WaitServer
from hal_ros.ros.segmenter_parameters import TOPICS_PREFIX, SegmenterParameters
from hal_ros.runtime.bulletin import Lifelong
from hal_ros.runtime.bundle import Bundle, load_bundle

FAILURE, ERROR = TransitionCallbackReturn.FAILURE, TransitionCallbackReturn.ERROR


class SegmenterNode(PrintableLogs, LifecycleNode):
    """Labels what the robot does, tick by tick. All ROS callbacks run in one executor thread."""

    def __init__(self, open_backend: OpenBackend = open_proven_backend, **options: Any) -> None:
        """Declare the parameters; raises ConfigError for one that is unknown or out of range."""
        super().__init__("segmenter", **options)
        self.is_ending: Callable[[], bool] = lambda: False
        self._open_backend = open_backend
        self._configured: Configured | None = None
        self._session: Session | None = None
        self._finalised, self._failure = False, ""
        self._worker_error: Exception | None = None
        self._reopened = self._reopening = False  # since somebody else activated the node
        self._segments = 0
        try:
            params.declare(self, SegmenterParameters, self._why_locked, later=(TOPICS_PREFIX,))
        except ConfigError:
            super().destroy_node()
            raise
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._reporter = Reporter(self)
        self._report_timer = self._make_report_timer()
        self._worker_failed = self.create_guard_condition(self._on_worker_failed)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.lifelong = Lifelong.drawn(self._worker_failed.trigger)
        self._waits = WaitServer(self, self)
        PlannerServices(self, self)

    def start(self) -> None:
        """Configure and activate where autostart asks for it; raises HalError when that fails."""
        if not params.read(self, SegmenterParameters).autostart:
            self.get_logger().info("unconfigured; waiting for a lifecycle manager, as autostart is false")
            return
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                raise HalError(f"autostart failed: {self._failure}")

    def destroy_node(self) -> None:
        """Take the node back, and what rclpy does not know to belong to it."""
        self._waits.destroy()
        super().destroy_node()

    def stop(self) -> None:
        """Shut down in order; the open segment is closed if messages can still be published."""
        if self._finalised:
            return
        self._waits.end_now("the node was shut down")
        if self.context.ok():
            if self._session is not None:
                self._report()  # counters are final
            self.trigger_shutdown()
        elif self._session is not None:
            self._session.end(publish=False)

    @property
    def state(self) -> str:
        """The lifecycle state."""
        if self._finalised:
            return "finalized"
        return "active" if self._session else "inactive" if self._configured else "unconfigured"

    @property
    def counters(self) -> Counter[str]:
        """What came in, what became of it and what was published, since activation."""
        return Counter() if self._session is None else self._session.counters()

    @property
    def vocabulary(self) -> Sequence[str]:
        """The actions in id order; none before a model is configured."""
        return () if self._configured is None else self._configured.bundle.card.vocabulary

    @property
    def stale(self) -> bool:
        """Whether what is known is no longer of now."""
        return self._session is None or self._session.stale

    def follow(self, names: Sequence[str]) -> LastKnown:
        """Follow another plan, or none, after the returned label; raises ConfigError, BackendError."""
        if self._configured is None or self._session is None:
            raise ConfigError(f"the node is {self.state}; expected it active")
        tracker = new_tracker(names, self._configured.bundle.card)
        known = self._session.follow(tracker)
        self._configured.publishers.tell_plan(tracker, known)
        self._configured = replace(self._configured, tracker=tracker)
        return known

    # --- lifecycle ----------------------------------------------------------------------------------------------------

    def on_configure(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Read the card, verify all hashes, open and prove the backend, latch the vocabulary."""
        return self._guarded("configure", self._configure, FAILURE, self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe."""
        super().on_activate(state)  # first, so that nothing is published into a disabled publisher
        disable = super().on_deactivate
        return self._guarded("activate", self._activate, FAILURE, lambda: disable(state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, end the worker and close the open segment."""
        done = self._guarded("deactivate", self._deactivate)
        super().on_deactivate(state)
        return done

    def on_cleanup(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the model."""
        return self._guarded("cleanup", self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate where active, and let go of all."""
        done = self._guarded("shutdown", self._shut_down)
        super().on_shutdown(state)
        return done

    def on_error(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Let go of all, so that the node can be configured afresh."""
        return self._guarded("recover from the error", self._release)

    def _guarded(
        self,
        name: str,
        act: Callable[[], None],
        refused: TransitionCallbackReturn = ERROR,
        undo: Callable[[], Any] = lambda: None,
    ) -> TransitionCallbackReturn:
        """Run a transition; `refused` is its result for an error that a user can act on.

        Every exception is logged here, because rclpy would turn it into ERROR without a word.
        """
        try:
            act()
        except HalError as error:
            self._failure = f"can't {name}: {error}"
            self.get_logger().error(self._failure)
            undo()
            return refused
        except Exception as error:  # noqa: BLE001
            self._failure = f"can't {name}: {type(error).__name__}: {error}"
            self.get_logger().error(f"{self._failure}\n{traceback.format_exc()}")
            undo()
            return ERROR
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        began_ns = time.perf_counter_ns()
        parameters = params.read(self, SegmenterParameters)
        if not parameters.model:
            raise ConfigError("parameter model is empty: expected the folder of a model bundle")
        bundle = load_bundle(Path(parameters.model).expanduser())
        card = bundle.card
        if parameters.synchroniser == "message_filters":
            if len(card.streams.names) < 2:
                raise ConfigError(f"synchroniser is message_filters, but {card.name} takes one stream; expected latest")
            message_filters()
        topics = self._choose_topics(card.streams, parameters)
        plan = plan_ids(plan_names(parameters.plan), card.vocabulary)
        tracker = PlanTracker(plan, card) if plan else None
        to_rgb = rgb_converter(parameters.image_conversion, round(parameters.most_megapixels * 1e6))
        cv2.setNumThreads(parameters.threads)
        opened = self._open(self._opening(bundle, parameters, parameters.build_on_start))
        warm_up(card)
        publishers = Publishers(self, bundle, self.lifelong)
        self._configured = Configured(parameters, bundle, opened, topics, to_rgb, publishers, tracker)
        publishers.tell_plan(tracker, self.lifelong.bulletin.newest)
        self.destroy_timer(self._report_timer)
        self._report_timer = self._make_report_timer()
        self._failure = ""
        self.get_logger().info(
            f"configured {card.name} ({bundle.sha256[:12]}): {len(card.vocabulary)} actions at {card.rate_hz:g} Hz, "
            f"{opened.words}, in {(time.perf_counter_ns() - began_ns) / 1e9:.1f} s"
        )

    def _choose_topics(self, spec: StreamSpec, parameters: SegmenterParameters) -> dict[str, tuple[str, ...]]:
        declare_topics(self, spec)
        topics = chosen_topics(self, spec, parameters)
        answers = {self.resolve_topic_name(name) for name in ANSWERS}
        params.check_overrides(self, {"subscription": all_names(self, spec, topics), "publisher": answers})
        return topics

    def _open(self, ready: Opening) -> Opened:
        """Open the backend, which runs the model: where it hangs, a signal still ends the process."""
        return open_model(self._open_backend, ready, lambda: self.is_ending() or not self.context.ok())

    def _opening(self, bundle: Bundle, parameters: SegmenterParameters, build: bool) -> Opening:
        return Opening(bundle, parameters, build, self._say_progress, self._say_warning)

    def _say_progress(self, line: str) -> None:
        self.get_logger().info(line)
        # The report's timer waits, as all callbacks do, until configure is done.
        self._reporter.publish(f"configuring: {line}", "", params.read(self, SegmenterParameters), None, None)

    def _say_warning(self, line: str) -> None:
        self.get_logger().warning(line)

    def _activate(self) -> None:
        ready = self._configured
        assert ready is not None  # the lifecycle activates only what is configured
        self._failure = ""
        self._reopened = self._reopening
        self._reporter.restart()
        self._session = Session(self, ready, self.lifelong, self._segments, self._on_worker_error)
        self._first_look = self.create_timer(
            ready.parameters.image_timeout_s, self._look_once, clock=self._steady_clock
        )
        # On the ROS clock: while simulated time is paused nothing is silent.
        self._silence_look = self.create_timer(poll_s(self._session.silence.limit_s), self._look_for_silence)
        self.get_logger().info(f"active: {self._session.subscriptions.words}")

    def _deactivate(self) -> None:
        session, self._session = self._session, None
        self._worker_error = None  # its traceback holds on to the backend
        if session is not None:
            self.destroy_timer(self._first_look)
            self.destroy_timer(self._silence_look)
            try:
                session.end(publish=True)
            finally:
                self._segments = session.segments  # a backend that hangs must not make the next one reuse ids
                self.lifelong.bulletin.close()

    def _shut_down(self) -> None:
        self._deactivate()
        self._release()
        self._finalised = True

    def _release(self) -> None:
        """Let go of whatever there is, in any state."""
        self._deactivate()
        ready, self._configured = self._configured, None
        if ready is not None:
            self._waits.end_all("the node let go of its model, whose actions were waited for")
            ready.publishers.destroy()

    def _why_locked(self) -> str:
        return "" if self._configured is None else "parameters are read at configure: clean the node up first"

    # --- failures and reset -------------------------------------------------------------------------------------------

    def _on_worker_error(self, error: Exception) -> None:
        """Called in the worker's thread, which ends after it; the executor does the rest."""
        self._worker_error = error
        self._worker_failed.trigger()

    def _on_worker_failed(self) -> None:
        self._waits.look()
        error = self._worker_error
        if error is None or self._session is None:
            return
        self.trigger_deactivate()
        self._failure = f"deactivated, the model failed: {type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.get_logger().error(f"{self._failure}\n{trace}")
        self._report()
        may_mend = isinstance(error, BackendError)
        del error  # its traceback holds on to the backend
        if may_mend and self.state == "inactive" and not self._reopened:
            self._reopen()

    def _reopen(self) -> None:
        """Open the backend again and become active again, once: a GPU may come back, or auto may find another way.

        The next failure leaves the node inactive, unless somebody else has activated it in the meantime.
        """
        assert self._configured is not None
        # The old backend ends here: a small board has no memory for two.
        self._configured = ready = replace(self._configured, opened=None)
        # Nothing is built now: a robot at work does not wait for minutes.
        try:
            opened = self._open(self._opening(ready.bundle, ready.parameters, build=False))
        except Exception as error:  # noqa: BLE001  # whatever a broken driver makes of it, the node stays
            self._configured = replace(ready, why_closed=str(error))
            self._failure += f"; it can't be opened again: {error}"
            self.get_logger().error(self._failure)
            self._report()
            return
        self._configured = replace(ready, opened=opened)
        self.get_logger().warning(f"the backend was opened again: {opened.words}")
        self._reopening = True
        try:
            self.trigger_activate()
        finally:
            self._reopening = False

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._session is not None and self._session.reset()
        why_not = "the model gives no answer" if self._session else f"{self.state}: nothing to reset"
        response.message = "fresh state" if response.success else why_not
        return response

    # --- diagnostics --------------------------------------------------------------------------------------------------

    def _make_report_timer(self) -> Any:
        # The steady clock: simulated time that stands still must not silence the report that would say so.
        period_s = params.read(self, SegmenterParameters).diagnostics_period_s
        return self.create_timer(period_s, self._report, clock=self._steady_clock)

    def _look_once(self) -> None:
        """Look at the inputs for the first time, image_timeout_s after activation."""
        if self._session is not None:
            self._first_look.cancel()
            self._report()

    def _look_for_silence(self) -> None:
        if self._session is not None and self._session.look_for_silence(int(self.get_clock().now().nanoseconds)):
            self._report()

    def _report(self) -> None:
        parameters = params.read(self, SegmenterParameters)
        self._reporter.publish(self.state, self._failure, parameters, self._configured, self._session)
