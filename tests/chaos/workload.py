"""The work: tasks, countdowns, chains and chords, each step with a mark of its own."""

from celery import Signature, chain, chord, group

from .site import QUEUE


class Workload:
    def __init__(self, site, pause=0.15):
        self.site = site
        self.pause = pause
        self.sent = 0

    def step(self, mark, pause=None):
        """Leaves `mark` in the truth when it has run."""
        self.site.expected.add(mark)
        arguments = {"value": mark, "key": self.site.key,
                     "pause": self.pause if pause is None else pause}
        return Signature("interop.record", kwargs=arguments, immutable=True,
                         options={"queue": QUEUE}, app=self.site.app)

    def named(self, kind):
        self.sent += 1
        return f"{kind}-{self.sent}"

    def tasks(self, count, **options):
        for _ in range(count):
            self.step(self.named("task")).apply_async(**options)

    def long_tasks(self, count, seconds):
        for _ in range(count):
            self.step(self.named("long"), seconds).apply_async()

    def countdowns(self, count, soonest, latest):
        for _ in range(count):
            later = self.site.rng.uniform(soonest, latest)
            self.step(self.named("countdown")).apply_async(countdown=later)

    def chains(self, count, length=3):
        for _ in range(count):
            name = self.named("chain")
            chain([self.step(f"{name}.{n}") for n in range(length)], app=self.site.app)()

    def chords(self, count, size=4):
        for _ in range(count):
            name = self.named("chord")
            header = [self.step(f"{name}.{n}") for n in range(size)]
            chord(group(header, app=self.site.app), self.step(f"{name}.body"),
                  app=self.site.app)()

    def everything(self, size):
        """Some of each kind."""
        self.tasks(4 * size)
        self.countdowns(size, 1, 5)
        self.chains(size)
        self.chords(size)
