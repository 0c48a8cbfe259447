"""The words of a new study, in English; each study has its own copy, which may be edited."""

from typing import Any, Final

CONSENT: Final = """\
You are about to move a simulated robot hand with your own. A headset shows a virtual table; a \
glove, a controller or the keyboard takes your movements. Twice you will practise, do a few short \
tasks and answer questions about how it was. It takes about 45 minutes.

What is stored: the movements of your hand and head during the tasks, times, and your answers, \
under a number. Your name is not stored, nor anything else about you. The records may be published.

Taking part is voluntary. You can pause or stop at any time, without giving a reason; ask the \
experimenter then. Your records can be removed later if you say your number. A headset can make \
one feel unwell: if it does, take it off at once.\
"""

TEXTS: Final[dict[str, str]] = {
    "accept": "I have read this and take part",
    "decline": "I do not take part",
    "declined": "You do not take part. Nothing was recorded. Thank you for coming.",
    "part": "Part {number} of {count}",
    "practice": "Practice: try out what you like, nothing is recorded. Say when you are ready.",
    "ready": "I am ready",
    "stack-cubes": "Stack the three cubes. It is done when the tower stands and your hand is off "
    "it. A tower that falls may be built again.",
    "open-door": "Press the handle down and pull the door open.",
    "pour-cup": "Pour what is in the cup into the bowl.",
    "begin": "Press the clutch to begin, and press it again to let go of the robot. You have "
    "{seconds} seconds.",
    "success": "Done!",
    "time-out": "The time is up.",
    "unrecoverable": "That cannot be put right any more.",
    "diverged": "The simulation broke. This is not your fault.",
    "next": "Next",
    "back": "Back",
    "choose": "Choose a value, then confirm.",
    "paused": "The experimenter has paused.",
    "aborted": "The experimenter has ended the session. Thank you for coming.",
    "end": "That was all. Thank you for taking part!",
    "haptics": "with touch",
    "no-haptics": "without touch",
    "keys": "Keyboard: arrows or Space choose, Enter goes on. Controllers: A right, Y left, B or X "
    "goes on. Bare hands: left thumb to index right, to ring finger left, to middle "
    "goes on.",
}
"""By what they are for; `{…}` is filled in."""

SEVEN: Final = tuple(range(1, 8))
QUESTIONNAIRES: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "statements",
        "title": "Statements",
        "intro": "How far do you agree?",
        "items": (
            "I could tell by feel when I touched something.",
            "The robot hand moved as I wanted it to.",
            "I could grasp things firmly without crushing or dropping them.",
            "It felt as if the robot hand were my own.",
            "I knew at any time what the robot hand was doing.",
            "The tasks were easy to do.",
            "I would like to work in this way again.",
        ),
        "low": ("disagree",),
        "high": ("agree",),
        "first": 1,
        "last": 7,
        "source": "Seven-level Likert items (Likert, 1932) on what the questionnaire of Mosbach, "
        "Moraw and Behnke (Humanoids 2022, Fig. 6) is about; the wording is this software's own. "
        "To repeat the paper's, put its seven statements here.",
    },
    {
        "name": "nasa-tlx",
        "title": "Workload",
        "intro": "How was doing the tasks in this part?",
        "items": (
            "Mental demand: how mentally demanding were the tasks?",
            "Physical demand: how physically demanding were the tasks?",
            "Temporal demand: how hurried or rushed was the pace of the tasks?",
            "Performance: how successful were you in accomplishing what you were asked to do?",
            "Effort: how hard did you have to work to accomplish your level of performance?",
            "Frustration: how insecure, discouraged, irritated, stressed and annoyed were you?",
        ),
        "low": ("very low", "very low", "very low", "perfect", "very low", "very low"),
        "high": ("very high", "very high", "very high", "failure", "very high", "very high"),
        "first": 0,
        "last": 100,
        "step": 5,
        "source": "Raw NASA Task Load Index: Hart and Staveland (1988), Development of NASA-TLX; "
        "without weights: Hart (2006), NASA-Task Load Index; 20 years later.",
    },
    {
        "name": "sus",
        "title": "Usability",
        "intro": "How far do you agree? The system is what you used in this part.",
        "items": (
            "I think that I would like to use this system frequently.",
            "I found the system unnecessarily complex.",
            "I thought the system was easy to use.",
            "I think that I would need the support of a technical person to be able to use this "
            "system.",
            "I found the various functions in this system were well integrated.",
            "I thought there was too much inconsistency in this system.",
            "I would imagine that most people would learn to use this system very quickly.",
            "I found the system very cumbersome to use.",
            "I felt very confident using the system.",
            "I needed to learn a lot of things before I could get going with this system.",
        ),
        "low": ("strongly disagree",),
        "high": ("strongly agree",),
        "first": 1,
        "last": 5,
        "source": "System Usability Scale: Brooke (1996), SUS: a quick and dirty scale.",
    },
)
