"""Three speech engines that say where each phone is: espeak-ng, flite and festival.

espeak-ng is a formant synthesiser with many languages; flite's and festival's voices are cut or
learned from recordings of people. They speak; `singing` makes the song of it. Needed at
corpus-making time only. Licences, as Debian records them: espeak-ng GPL-3+; flite and festival's
ked, slt and ona BSD-like; lp, pc, ph GPL-2+; dita, machac, krb and the Russian nsh GPL-3; the
Finnish mv LGPL-2+.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import weakref
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from engine.motion.visemes import Phone

F64 = NDArray[np.float64]
SILENCE = "_"

TRAIN = "train"
HELD_OUT = "held-out"

FLITE_TRAIN = ("slt", "rms", "kal16")
FLITE_HELD_OUT = ("awb",)
# Voices of people for festival: their language and whether they sound low, high or like a child.
FESTIVAL_TRAIN = {
    "ked_diphone": ("en-us", "low"), "cmu_us_slt_arctic_hts": ("en-us", "high"),
    "lp_diphone": ("it", "high"), "pc_diphone": ("it", "low"), "czech_dita": ("cs", "high"),
    "czech_machac": ("cs", "low"), "czech_ph": ("cs", "low"), "czech_krb": ("cs", "child"),
    "msu_ru_nsh_clunits": ("ru", "low"),
}  # fmt: skip
FESTIVAL_HELD_OUT = {"upc_ca_ona_hts": ("ca", "high"), "hy_fi_mv_diphone": ("fi", "low")}
# Variants of espeak-ng voices.
LOW_TRAIN = (
    "m1", "m2", "m3", "m4", "m5", "m7", "Andy", "Gene", "Michael", "Mike", "Jacky", "Lee", "Marco",
    "Mario", "Denis", "Diogo", "Hugo", "adam", "antonio", "benjamin", "boris", "caleb", "david",
    "ed", "edward", "iven", "iven3", "john", "max", "miguel", "pablo", "paul", "quincy", "robert",
    "sandro", "travis", "victor", "zac", "grandpa", "klatt", "klatt3", "klatt5", "marcelo",
    "gustave", "Nguyen", "rob", "Henrique",
)  # fmt: skip
HIGH_TRAIN = (
    "f1", "f3", "f5", "steph", "steph2", "linda", "belinda", "Annie", "anika", "aunty", "Andrea",
    "shelby", "iven2", "grandma",  "Storm",
)  # fmt: skip
LOW_HELD_OUT = ("m6", "m8", "Gene2", "michel", "pedro", "norbert", "Alex")
HIGH_HELD_OUT = ("f2", "f4", "Alicia", "steph3", "kaukovalta")


class MissingEngineError(RuntimeError):
    """A program this corpus needs is not installed; the message names its Debian package."""


@dataclass(frozen=True, slots=True)
class Speech:
    """wave: [n] float64 at `rate` Hz. phones: end to end, seconds; SILENCE between words."""

    wave: F64
    rate: int
    phones: tuple[Phone, ...]


@dataclass(frozen=True, slots=True)
class Voice:
    """engine: "espeak", "flite" or "festival"; name: espeak language+variant or the voice."""

    engine: str
    name: str
    language: str

    def __str__(self) -> str:
        return f"{self.engine}:{self.name}"


def command(program: str, package: str) -> str:
    """Path of a program; raises MissingEngineError naming the package that has it."""
    path = shutil.which(program)
    if path is None:
        raise MissingEngineError(f"{program} is missing: apt-get install {package}")
    return path


# --- espeak-ng ------------------------------------------------------------------------------------

_SYNCHRONOUS = 2
_PHONEME_EVENTS_IN_IPA = 0x0003
_DO_NOT_EXIT = 0x8000
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8 = 1


class _Name(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("pointer", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@cache
def _espeak_library() -> Path:
    """Where libespeak-ng lies; raises MissingEngineError."""
    try:
        ctypes.CDLL("libespeak-ng.so.1")
    except OSError as error:
        raise MissingEngineError(
            "libespeak-ng.so.1 is missing: apt-get install libespeak-ng1"
        ) from error
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    return Path(next(line.split()[-1] for line in maps.splitlines() if "libespeak-ng.so" in line))


class Espeak:
    """One private espeak-ng: its whole state is new, so what it says depends on what it was told.

    The library keeps oscillator phases and noise in globals from one sentence to the next and
    cannot be restarted in a process. A copy under another name has globals of its own: 2.5 MB each,
    which the process keeps until it ends.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "libespeak-ng.so"
            shutil.copy(_espeak_library(), copy)
            self._library = ctypes.CDLL(str(copy))
        ctypes.CDLL(None).srand(1)
        flags = _PHONEME_EVENTS_IN_IPA | _DO_NOT_EXIT
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, flags)
        if self._rate <= 0:
            raise MissingEngineError("espeak-ng finds no data: apt-get install espeak-ng-data")
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)
        self._pieces: list[np.ndarray] = []
        self._marks: list[tuple[int, str]] = []

    def _receive(self, wave: Any, count: int, events: Any) -> int:
        if count > 0:
            self._pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        i = 0
        while events[i].type != _EVENT_END:
            if events[i].type == _EVENT_PHONEME:
                self._marks.append(
                    (events[i].sample, events[i].id.string.decode("utf-8", "ignore"))
                )
            i += 1
        return 0

    def say(
        self, text: str, voice: str, words_per_minute: int, pitch: int, pitch_range: int
    ) -> Speech:
        """Speak at 22.05 kHz. pitch, pitch_range: 0…100; range 0 is a monotone.

        Raises ValueError for a voice that espeak-ng does not have.
        """
        self._pieces, self._marks = [], []
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}: see espeak-ng --voices=variant")
        for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        raw = text.encode()
        self._library.espeak_Synth(raw, len(raw) + 1, 0, 0, 0, _UTF8, None, None)
        wave = np.concatenate([*self._pieces, np.zeros(0, np.int16)]) / 32768
        starts = [sample / self._rate for sample, _ in self._marks] + [len(wave) / self._rate]
        phones = tuple(
            Phone(tidy_ipa(label), start, end)
            for (_, label), start, end in zip(self._marks, starts, starts[1:], strict=False)
            if end > start
        )
        return Speech(wave, self._rate, phones)


_SPELLINGS = {
    "ts.h": "ʈʂʰ", "ts.": "ʈʂ", "s.": "ʂ", "z.": "ʐ", "ss": "s", "ʲ": "j", "q": "ʔ", "onɡ": "oŋ",
    "ai": "aɪ", "ei": "eɪ", "ou": "oʊ", "ɑu": "ɑʊ",
}  # fmt: skip


def tidy_ipa(label: str) -> str:
    """espeak-ng's phoneme name → IPA; names it marks as variants (`o-`, `r^`) lose the mark."""
    if label.startswith("("):  # "(en)": the text changed language
        return SILENCE
    label = _SPELLINGS.get(label, label).strip("-^*.;|#'ˈˌ")
    if len(label) > 1 and label.endswith("h"):
        label = label[:-1] + "ʰ"
    return label or SILENCE


# --- flite ----------------------------------------------------------------------------------------

ARPABET = {
    "aa": "ɑː", "ae": "æ", "ah": "ʌ", "ao": "ɔː", "aw": "aʊ", "ax": "ə", "axr": "ɚ", "ay": "aɪ",
    "eh": "ɛ", "er": "ɝ", "ey": "eɪ", "ih": "ɪ", "ix": "ɨ", "iy": "iː", "ow": "oʊ", "oy": "ɔɪ",
    "uh": "ʊ", "uw": "uː", "b": "b", "ch": "tʃ", "d": "d", "dh": "ð", "dx": "ɾ", "el": "l\u0329",
    "em": "m\u0329", "en": "n\u0329", "f": "f", "g": "ɡ", "hh": "h", "hv": "ɦ", "jh": "dʒ",
    "k": "k", "l": "l", "m": "m", "n": "n", "nx": "n", "ng": "ŋ", "p": "p", "r": "ɹ",
    "s": "s", "sh": "ʃ", "t": "t", "th": "θ", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ",
    "pau": SILENCE, "h#": SILENCE, "brth": SILENCE, "ssil": SILENCE,
}  # fmt: skip


def flite(text: str, voice: str, stretch: float, pitch_deviation: float | None) -> Speech:
    """Speak at 16 kHz. stretch: above 1 is slower; pitch_deviation: Hz, None as the voice is."""
    program = command("flite", "flite")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "speech.wav"
        options = ["--setf", f"duration_stretch={stretch:.3f}"]
        if pitch_deviation is not None:
            options += ["--setf", f"int_f0_target_stddev={pitch_deviation:.1f}"]
        said = subprocess.run(
            [program, "-voice", voice, *options, "-psdur", "-t", text, "-o", str(out)],
            check=True,
            capture_output=True,
            text=True,
        )
        wave, rate = soundfile.read(out)
    phones, start = [], 0.0
    for item in said.stdout.split():
        label, end = item.split(":")
        phones.append(Phone(ARPABET[label], start, float(end)))
        start = float(end)
    return Speech(wave, rate, tuple(phone for phone in phones if phone.end > phone.start))


# --- festival -------------------------------------------------------------------------------------

_PACKAGES = {
    "ked_diphone": "festvox-kdlpc16k", "cmu_us_slt_arctic_hts": "festvox-us-slt-hts",
    "lp_diphone": "festvox-italp16k", "pc_diphone": "festvox-itapc16k",
    "upc_ca_ona_hts": "festvox-ca-ona-hts", "czech_dita": "festvox-czech-dita",
    "czech_machac": "festvox-czech-machac", "czech_ph": "festvox-czech-ph",
    "czech_krb": "festvox-czech-krb", "msu_ru_nsh_clunits": "festvox-ru",
    "hy_fi_mv_diphone": "festvox-suopuhe-mv",
}  # fmt: skip
_ENCODINGS = {"cs": "iso-8859-2", "ru": "utf-8"}  # else Latin 1
_FASTEST = 24000  # Hz: above it a recording only costs time
_SAMPA = {
    "L": "ʎ", "J": "ɲ", "S": "ʃ", "Z": "ʒ", "E": "ɛ", "O": "ɔ", "tS": "tʃ", "dZ": "dʒ", "ng": "ŋ",
    "nf": "ɱ", "N": "ŋ", "ax": "ə", "rr": "r", "T": "θ", "D": "ð", "@": "æ", "7": "ø", "&": "ə",
    "g": "ɡ", "#": SILENCE, "_": SILENCE, "pau": SILENCE,
}  # fmt: skip
_CZECH = {
    "c": "ts", "c~": "tʃ", "ch": "x", "d~": "ɟ", "dz~": "dʒ", "h": "ɦ", "n*": "ŋ", "n~": "ɲ",
    "r~": "r\u031d", "r~*": "r\u031d\u0325", "s~": "ʃ", "t~": "c", "z~": "ʒ", "_": "ʔ", "g": "ɡ",
    "#": SILENCE,
}  # fmt: skip
_RUSSIAN = {
    "ii": "i", "yy": "ɨ", "uu": "u", "ee": "e", "oo": "o", "aa": "a", "a": "ɐ", "i": "ɪ", "y": "ɨ",
    "u": "ʊ", "ae": "ə", "ay": "ə", "ur": "ʊ", "c": "ts", "ch": "tɕ", "sch": "ɕː", "sh": "ʂ",
    "zh": "ʐ", "h": "x", "hh": "xʲ", "g": "ɡ", "gg": "ɡʲ", "pau": SILENCE,
}  # fmt: skip


def festival_ipa(label: str, language: str) -> str:
    """A festival voice's own phone name → IPA."""
    if language == "en-us":
        return ARPABET[label]
    if language == "ru":
        soft = len(label) == 2 and label[0] == label[1]
        return _RUSSIAN.get(label) or (label[0] + "ʲ" if soft else label)
    long = label.endswith(":")
    plain = label.removesuffix(":")
    table = _CZECH if language == "cs" else _SAMPA
    if plain not in table:
        plain = plain.rstrip("0123456789")  # stress
    return table.get(plain, plain) + "ː" * long


_SAY = """
(define (say_and_mark text wave marks)
  (let ((u (utt.synth (eval (list 'Utterance 'Text text)))) (file (fopen marks "w")))
    (utt.save.wave u wave 'riff)
    (mapcar (lambda (s) (format file "%s %f\\n" (item.name s) (item.feat s 'end)))
            (utt.relation.items u 'Segment))
    (fclose file)
    (format t "done\\n")
    (fflush nil)))
"""


class Festival:
    """One festival process that speaks with one voice; it ends with this object."""

    def __init__(self, voice: str, language: str) -> None:
        self._language = language
        self._encoding = _ENCODINGS.get(language, "latin-1")
        self._process = subprocess.Popen(
            [command("festival", "festival"), "--pipe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        weakref.finalize(self, _end, self._process)
        self._voice = voice
        self._tell(f"{_SAY}(voice_{voice})")

    def _tell(self, lisp: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(lisp.encode(self._encoding, "replace") + b"\n")
        self._process.stdin.flush()

    def say(self, text: str, stretch: float) -> Speech:
        """Speak at 16 to 24 kHz. stretch: above 1 is slower, where the voice can.

        Raises MissingEngineError where festival ends without a word: the voice is not there.
        """
        text = text.replace("\\", " ").replace('"', " ")
        with tempfile.TemporaryDirectory() as folder:
            wave_path, marks = Path(folder) / "speech.wav", Path(folder) / "marks"
            self._tell(f"(Parameter.set 'Duration_Stretch {stretch:.3f})")
            self._tell(f'(say_and_mark "{text}" "{wave_path}" "{marks}")')
            assert self._process.stdout
            if not self._process.stdout.readline():
                package = _PACKAGES.get(self._voice, "festival")
                raise MissingEngineError(f"festival cannot say it: apt-get install {package}")
            wave, rate = soundfile.read(wave_path)
            wave = _without_overflow(wave, rate)
            ends = [line.split() for line in marks.read_text(encoding="latin-1").splitlines()]
        if rate > _FASTEST:
            wave, rate = soxr.resample(wave, rate, _FASTEST), _FASTEST
        phones, start = [], 0.0
        for label, end in ends:
            phones.append(Phone(festival_ipa(label, self._language), start, float(end)))
            start = float(end)
        return Speech(wave, rate, tuple(phone for phone in phones if phone.end > phone.start))


def _without_overflow(wave: F64, rate: int) -> F64:
    """Undo what overflowed 16 bits for less than a millisecond, as in the Italian voices."""
    turns = np.cumsum(np.round(np.diff(wave, prepend=wave[:1]) / 2))
    if not turns.any():
        return wave
    brief = turns - median_filter(turns, 2 * rate // 1000 + 1)
    return wave - 2 * brief


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    process.stdout.close()
    process.wait()


class Speaker:
    """A voice that says lines, one after another, the same each time it is made anew."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self._espeak = Espeak() if voice.engine == "espeak" else None
        self._festival = (
            Festival(voice.name, voice.language) if voice.engine == "festival" else None
        )

    def say(self, text: str, speed: float, pitch: int, lively: bool) -> Speech:
        """speed: 1 is calm. pitch: 0…100 (espeak only). lively: spoken melody, else monotone
        where the engine can."""
        if self._espeak:
            return self._espeak.say(
                text, self.voice.name, int(140 * speed), pitch, 50 if lively else 0
            )
        if self._festival:
            return self._festival.say(text, 1.1 / speed)
        return flite(text, self.voice.name, 1.1 / speed, None if lively else 2.0)
