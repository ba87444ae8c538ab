"""Sentences with numbers, dates, times, prices, names and abbreviations, from forms.

Knows: the forms of both languages and what fills them. Does not know: how a number is read: that
is what a model is to learn from who reads it (in Mandarin numbers are written in Hanzi).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from finetune.nano.domain.languages import Language
from finetune.nano.domain.people.numbers import HAN, han_number


def _listed(text: str) -> list[str]:
    return text.split()


_NAMES = _listed("""
James Mary Robert Linda Michael Susan David Karen Daniel Nancy Matthew Betty Anthony Sandra Mark
Ashley Paul Emily Andrew Donna Joshua Michelle Kevin Carol Brian Amanda George Laura Edward Helen
Jason Sharon Ryan Cynthia Jacob Amy Gary Angela Nicholas Brenda Eric Emma Jonathan Rachel Stephen
Olivia Larry Christine Justin Catherine Scott Maria Brandon Heather Benjamin Diane Samuel Julia
""")
_SURNAMES = _listed("""
Johnson Williams Brown Jones Garcia Miller Davis Martinez Wilson Anderson Taylor Thomas Moore
Jackson Martin Lee Thompson White Harris Clark Lewis Robinson Walker Young Allen King Wright Hill
Scott Green Adams Baker Nelson Carter Mitchell Roberts Turner Phillips Campbell Parker Evans
Cooper
""")
_PLACES = _listed("""
Boston Chicago Denver Paris London Madrid Sydney Toronto Tokyo Berlin Dublin Seattle Dallas Rome
Oslo Vienna Lisbon Athens Cairo Delhi Moscow Texas Florida Canada Mexico Brazil Spain Italy India
""")
_MONTHS = _listed("""
January February March April May June July August September October November December
""")
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_GOODS = _listed("""
tickets books shirts chairs bottles boxes apples phones lamps cups pens bags
""")
_UNITS = ["km", "kg", "miles", "pounds", "liters", "feet", "minutes", "hours", "meters", "inches"]

_FORMS: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "{name} was born on {month} {day}, {year}.",
        "The meeting is at {time} on {weekday}.",
        "Call {title} {surname} before {time}.",
        "It costs ${price} at the store.",
        "{name} paid ${small} for {number} {goods}.",
        "The train to {place} leaves at {time}.",
        "We drove {number} {unit} to {place}.",
        "{title} {surname} lives at {number} {surname} St. in {place}.",
        "About {percent}% of the people said yes.",
        "The temperature fell to {small} degrees in {place}.",
        "On {weekday}, {month} {ordinal}, {name} comes back.",
        "In {year}, {place} had {big} people.",
        "{name} and {name} have {small} children.",
        "The score was {small} to {small}.",
        "Chapter {small} begins on page {number}.",
        "My flight, no. {number}, arrives at {time}.",
        "Please send {number} {goods} to {title} {surname}.",
        "{name} ran {decimal} miles in {number} minutes.",
        "The {ordinal} person in line is {name} {surname}.",
        "They sold {big} {goods} in {year}.",
        "The library is open from {hour} a.m. to {hour} p.m.",
        "{name} is {small} years old and {decimal} feet tall.",
        "Is {title} {surname} in {place} until {month} {ordinal}?",
        "Our house was built in {year} by {name} {surname}.",
        "Take bus {small} to {surname} Ave. and walk {number} feet.",
    ),
    "zh": (
        "{person}是{year}年{month}月{day}号出生的。",
        "我们{clock}在{place}见面。",
        "这件衣服{number}块钱。",
        "从{place}到{place}有{number}公里。",
        "{person}今年{age}岁了。",
        "今天是{month}月{day}号，星期{weekday}。",
        "火车{clock}从{place}出发。",
        "{person}买了{small}张去{place}的票。",
        "我的电话号码是{phone}。",
        "百分之{age}的人都同意。",
        "{person}住在{place}路{number}号。",
        "请在{clock}以前给{person}打电话。",
        "第{small}个人是{person}。",
        "{place}的气温是{age}度。",
        "这本书有{number}页，{person}看了{small}天。",
    ),
}
_ZH_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
_ZH_TITLES = ("先生", "老师", "医生", "小姐", "经理", "阿姨", "师傅")
_ZH_PLACES = _listed("""
北京 上海 广州 深圳 南京 杭州 成都 重庆 武汉 西安 天津 苏州 长沙 青岛 大连 厦门
昆明 哈尔滨 沈阳 济南 福州 郑州 桂林 拉萨 香港 中山 人民 解放 和平
""")


def draw(rng: Random, language: Language) -> str:
    """A sentence from a form."""
    form = rng.choice(_FORMS[language])
    fillers = _CHINESE if language == "zh" else _ENGLISH
    pieces = form.split("{")
    text = pieces[0]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}")
        text += fillers[name](rng) + rest
    return text


def ordinal(number: int) -> str:
    """As in 1st, 12th, 23rd."""
    ending = "th" if number // 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _digits(rng: Random, count: int) -> str:
    return "".join(rng.choice(HAN) for _ in range(count))


def _time(rng: Random) -> str:
    half = rng.choice((" am", " pm", "", " p.m."))
    return f"{rng.randint(1, 12)}:{rng.choice((0, 5, 10, 15, 20, 30, 40, 45, 50)):02d}{half}"


def _clock(rng: Random) -> str:
    part = rng.choice(("上午", "下午", "晚上", "早上"))
    return part + han_number(rng.randint(1, 12)) + "点" + rng.choice(("", "半", "一刻", "二十分"))


_ENGLISH: Mapping[str, Callable[[Random], str]] = {
    "name": lambda rng: rng.choice(_NAMES),
    "surname": lambda rng: rng.choice(_SURNAMES),
    "title": lambda rng: rng.choice(("Mr.", "Mrs.", "Dr.", "Ms.", "Prof.")),
    "place": lambda rng: rng.choice(_PLACES),
    "month": lambda rng: rng.choice(_MONTHS),
    "weekday": lambda rng: rng.choice(_DAYS),
    "day": lambda rng: str(rng.randint(1, 28)),
    "year": lambda rng: str(rng.randint(1850, 2030)),
    "time": _time,
    "hour": lambda rng: str(rng.randint(1, 12)),
    "price": lambda rng: f"{rng.randint(1, 99)}.{rng.randint(1, 99):02d}",
    "small": lambda rng: str(rng.randint(2, 20)),
    "number": lambda rng: str(rng.randint(2, 999)),
    "big": lambda rng: f"{rng.randint(1_000, 999_999):,}",
    "percent": lambda rng: str(rng.randint(1, 99)),
    "decimal": lambda rng: f"{rng.randint(1, 9)}.{rng.randint(1, 9)}",
    "ordinal": lambda rng: ordinal(rng.randint(1, 28)),
    "goods": lambda rng: rng.choice(_GOODS),
    "unit": lambda rng: rng.choice(_UNITS),
}
_CHINESE: Mapping[str, Callable[[Random], str]] = {
    "person": lambda rng: rng.choice(_ZH_SURNAMES) + rng.choice(_ZH_TITLES),
    "place": lambda rng: rng.choice(_ZH_PLACES),
    "year": lambda rng: rng.choice(("一九", "二零")) + _digits(rng, 2),
    "month": lambda rng: han_number(rng.randint(1, 12)),
    "day": lambda rng: han_number(rng.randint(1, 28)),
    "weekday": lambda rng: rng.choice("一二三四五六日"),
    "clock": _clock,
    "number": lambda rng: han_number(rng.randint(2, 999)),
    "age": lambda rng: han_number(rng.randint(2, 99)),
    "small": lambda rng: han_number(rng.randint(3, 20)),
    "phone": lambda rng: _digits(rng, 8),
}
