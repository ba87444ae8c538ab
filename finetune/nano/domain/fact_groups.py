"""What nano knows, as tables: animals, colors, opposites, capitals, the calendar, small sums.

Knows: groups of facts with several wordings of the question each.
Does not know: which of them are held out, who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import ANIMALS, DAYS, MONTHS, NUMBERS, Word

_LARGEST_SUM = 20
_LARGEST_CORE_SUM = 10


@dataclass(frozen=True)
class Fact:
    """A subject and the answer about it; texts by language.

    ``subject`` fills the question's ``{x}``, ``other`` its ``{y}``.
    """

    subject: Mapping[Language, str]
    answer: Mapping[Language, str]
    other: Mapping[Language, str] | None = None
    core: bool = True

    @property
    def key(self) -> str:
        """A stable name within its group."""
        return self.subject["en"] + (f"/{self.other['en']}" if self.other else "")


@dataclass(frozen=True)
class FactGroup:
    """Facts that are asked for by the same wordings."""

    key: str
    questions: Mapping[Language, tuple[str, ...]]
    facts: tuple[Fact, ...]
    core: bool = True


def _group(key: str, en: str, zh: str, rows: str, core: bool = True) -> FactGroup:
    """``en``, ``zh``: wordings parted by ``|``; rows: subject, answer in English, then Chinese."""
    facts = []
    for line in rows.strip().split("\n"):
        cells = [cell.strip() for cell in line.split("|")]
        facts.append(
            Fact(
                {"en": cells[0], "zh": cells[2]},
                {"en": cells[1], "zh": cells[3]},
                core=cells[-1] == "*",
            )
        )
    return FactGroup(key, _wordings(en, zh), tuple(facts), core)


def _wordings(en: str, zh: str) -> Mapping[Language, tuple[str, ...]]:
    english = tuple(part.strip() for part in en.split("|"))
    chinese = tuple(part.strip() for part in zh.split("|"))
    if len(english) != len(chinese):  # so that a held-out wording is held out in both
        raise ValueError(f"as many wordings in both languages: {en}, {zh}")
    return {"en": english, "zh": chinese}


_ANIMAL_ROWS = """
cat | four | meow | at home | fish | 四条 | 喵喵 | 家里 | 鱼
dog | four | woof | at home | meat | 四条 | 汪汪 | 家里 | 肉
bird | two | tweet | in a tree | seeds | 两条 | 叽叽 | 树上 | 种子
fish | none | nothing | in the water | plants | 没有 | 不叫 | 水里 | 水草
horse | four | neigh | on a farm | grass | 四条 | 嘶嘶 | 农场里 | 草
cow | four | moo | on a farm | grass | 四条 | 哞哞 | 农场里 | 草
rabbit | four | nothing | in a hole | carrots | 四条 | 不叫 | 洞里 | 胡萝卜
tiger | four | roar | in the forest | meat | 四条 | 嗷呜 | 森林里 | 肉
monkey | two | ooh | in a tree | bananas | 两条 | 吱吱 | 树上 | 香蕉
elephant | four | toot | on the plains | grass | 四条 | 呜呜 | 草原上 | 草
sheep | four | baa | on a farm | grass | 四条 | 咩咩 | 农场里 | 草
pig | four | oink | on a farm | corn | 四条 | 哼哼 | 农场里 | 玉米
duck | two | quack | on the water | seeds | 两条 | 嘎嘎 | 水上 | 种子
chicken | two | cluck | on a farm | seeds | 两条 | 咯咯 | 农场里 | 种子
mouse | four | squeak | in a hole | seeds | 四条 | 吱吱 | 洞里 | 种子
lion | four | roar | on the plains | meat | 四条 | 嗷呜 | 草原上 | 肉
bear | four | growl | in the forest | honey | 四条 | 吼吼 | 森林里 | 蜂蜜
frog | four | ribbit | in the water | insects | 四条 | 呱呱 | 水里 | 虫子
snake | none | hiss | in a hole | mice | 没有 | 嘶嘶 | 洞里 | 老鼠
bee | six | buzz | in a hive | honey | 六条 | 嗡嗡 | 蜂窝里 | 蜂蜜
"""
_ANIMAL_QUESTIONS = (
    (
        "legs",
        "How many legs does a {x} have? | How many legs has a {x}? | Count the legs of a {x}.",
        "{x}有几条腿？ | 一只{x}有多少条腿？ | 数一数{x}的腿。",
    ),
    (
        "sound",
        "What does a {x} say? | What sound does a {x} make? | How does a {x} sound?",
        "{x}怎么叫？ | {x}的叫声是什么？ | {x}叫什么声音？",
    ),
    (
        "home",
        "Where does a {x} live? | Where can I find a {x}? | Where is the home of a {x}?",
        "{x}住在哪里？ | 在哪里能找到{x}？ | {x}的家在哪里？",
    ),
    (
        "food",
        "What does a {x} eat? | What is the food of a {x}? | What can I give a {x} to eat?",
        "{x}吃什么？ | {x}的食物是什么？ | 我可以给{x}吃什么？",
    ),
)


def _animal_groups() -> tuple[FactGroup, ...]:
    rows = [[cell.strip() for cell in line.split("|")] for line in _ANIMAL_ROWS.strip().split("\n")]
    animals = {animal.en: animal for animal in ANIMALS}
    groups = []
    for column, (key, en, zh) in enumerate(_ANIMAL_QUESTIONS, start=1):
        facts = tuple(
            Fact(
                {"en": cells[0], "zh": animals[cells[0]].zh},
                {"en": cells[column], "zh": cells[column + 4]},
                core=animals[cells[0]].core,
            )
            for cells in rows
        )
        groups.append(FactGroup(key, _wordings(en, zh), facts, core=key in ("legs", "sound")))
    return tuple(groups)


def _cycle(key: str, names: tuple[Word, ...], step: int, en: str, zh: str, core: bool) -> FactGroup:
    """What comes ``step`` after each name, around the year or the week."""
    facts = []
    for place, name in enumerate(names):
        answer = names[(place + step) % len(names)]
        facts.append(Fact({"en": name.en, "zh": name.zh}, {"en": answer.en, "zh": answer.zh}))
    return FactGroup(key, _wordings(en, zh), tuple(facts), core)


def _sums(key: str, en: str, zh: str, sign: int) -> FactGroup:
    facts = []
    for a, first in enumerate(NUMBERS):
        for b, second in enumerate(NUMBERS):
            result = a + sign * b
            if not 0 <= result <= _LARGEST_SUM:
                continue
            total = NUMBERS[result]
            facts.append(
                Fact(
                    {"en": first.en, "zh": first.zh},
                    {"en": total.en, "zh": total.zh},
                    {"en": second.en, "zh": second.zh},
                    core=max(a, b, result) <= _LARGEST_CORE_SUM,
                )
            )
    return FactGroup(key, _wordings(en, zh), tuple(facts), core=sign > 0)


def _counting() -> FactGroup:
    pairs = pairwise(NUMBERS)
    facts = tuple(
        Fact({"en": a.en, "zh": a.zh}, {"en": b.en, "zh": b.zh}, core=b.core) for a, b in pairs
    )
    questions = _wordings(
        "What comes after {x}? | Which number comes after {x}? | Count on from {x}.",
        "{x}后面是几？ | {x}后面是什么数字？ | 从{x}往下数一个。",
    )
    return FactGroup("next-number", questions, facts)


GROUPS: tuple[FactGroup, ...] = (
    _sums(
        "plus",
        "What is {x} plus {y}? | How much is {x} plus {y}? | {x} plus {y}? | Add {x} and {y}.",
        "{x}加{y}等于几？ | {x}加{y}是多少？ | {x}加{y}呢？ | 算一下{x}加{y}。",
        1,
    ),
    _sums(
        "minus",
        "What is {x} minus {y}? | How much is {x} minus {y}? | {x} minus {y}? | Take {y} from {x}.",
        "{x}减{y}等于几？ | {x}减{y}是多少？ | {x}减{y}呢？ | 算一下{x}减{y}。",
        -1,
    ),
    _counting(),
    _cycle(
        "day-after",
        DAYS,
        1,
        "What day comes after {x}? | Which day is after {x}? | Today is {x}, what is tomorrow?",
        "{x}后面是星期几？ | {x}的后一天是星期几？ | 今天是{x}，明天呢？",
        core=True,
    ),
    _cycle(
        "day-before",
        DAYS,
        -1,
        "What day comes before {x}? | Which day is before {x}? | Today is {x}, what was yesterday?",
        "{x}前面是星期几？ | {x}的前一天是星期几？ | 今天是{x}，昨天呢？",
        core=False,
    ),
    _cycle(
        "month-after",
        MONTHS,
        1,
        "What month comes after {x}? | Which month is after {x}? | It is {x}, what is next month?",
        "{x}后面是几月？ | {x}的下一个月是几月？ | 现在是{x}，下个月呢？",
        core=False,
    ),
    _cycle(
        "month-before",
        MONTHS,
        -1,
        "What month comes before {x}? | Which month is before {x}? | It is {x}, what was before?",
        "{x}前面是几月？ | {x}的上一个月是几月？ | 现在是{x}，上个月呢？",
        core=False,
    ),
    *_animal_groups(),
    _group(
        "color-of",
        "What color is {x}? | What is the color of {x}? | Which color does {x} have?",
        "{x}是什么颜色的？ | {x}的颜色是什么？ | {x}有什么颜色？",
        """
the sky | blue | 天空 | 蓝色 | *
grass | green | 草 | 绿色 | *
snow | white | 雪 | 白色 | *
a banana | yellow | 香蕉 | 黄色 | *
blood | red | 血 | 红色 | *
coal | black | 煤 | 黑色 | *
milk | white | 牛奶 | 白色
a carrot | orange | 胡萝卜 | 橙色
a tomato | red | 西红柿 | 红色
a lemon | yellow | 柠檬 | 黄色
chocolate | brown | 巧克力 | 棕色
an elephant | gray | 大象 | 灰色
a frog | green | 青蛙 | 绿色
a pig | pink | 猪 | 粉色
grape juice | purple | 葡萄汁 | 紫色
""",
    ),
    _group(
        "opposite",
        "What is the opposite of {x}? | Tell me the opposite of {x}. | Not {x}, but?",
        "{x}的反义词是什么？ | 请说出{x}的反义词。 | 不是{x}，是什么？",
        """
big | small | 大 | 小 | *
small | big | 小 | 大 | *
hot | cold | 热 | 冷 | *
cold | hot | 冷 | 热 | *
left | right | 左 | 右 | *
right | left | 右 | 左 | *
good | bad | 好 | 坏
bad | good | 坏 | 好
fast | slow | 快 | 慢
slow | fast | 慢 | 快
high | low | 高 | 低
low | high | 低 | 高
long | short | 长 | 短
short | long | 短 | 长
day | night | 白天 | 黑夜
night | day | 黑夜 | 白天
black | white | 黑 | 白
white | black | 白 | 黑
old | new | 旧 | 新
new | old | 新 | 旧
open | closed | 开 | 关
closed | open | 关 | 开
""",
    ),
    _group(
        "capital",
        "What is the capital of {x}? | Name the capital of {x}. | What city is the capital of {x}?",
        "{x}的首都是哪里？ | 请说出{x}的首都。 | {x}的首都是哪个城市？",
        """
China | Beijing | 中国 | 北京 | *
England | London | 英国 | 伦敦 | *
France | Paris | 法国 | 巴黎 | *
Japan | Tokyo | 日本 | 东京
Germany | Berlin | 德国 | 柏林
Italy | Rome | 意大利 | 罗马
Russia | Moscow | 俄罗斯 | 莫斯科
Spain | Madrid | 西班牙 | 马德里
Egypt | Cairo | 埃及 | 开罗
""",
    ),
    _group(
        "how-many",
        "How many {x}? | Say how many {x}. | What is the number: how many {x}?",
        "{x}？ | 说说{x}。 | 数字是多少，{x}？",
        """
days are in a week | seven | 一个星期有几天 | 七天 | *
months are in a year | twelve | 一年有几个月 | 十二个 | *
seasons are in a year | four | 一年有几个季节 | 四个
hours are in a day | twenty four | 一天有几个小时 | 二十四个
minutes are in an hour | sixty | 一个小时有多少分钟 | 六十分钟
sides has a triangle | three | 三角形有几条边 | 三条 | *
sides has a square | four | 正方形有几条边 | 四条 | *
wheels has a car | four | 汽车有几个轮子 | 四个
wheels has a bike | two | 自行车有几个轮子 | 两个
fingers has a hand | five | 一只手有几个手指 | 五个
""",
    ),
    _group(
        "mix",
        "What do you get from {x}? | Which color is made of {x}? | Mix {x}.",
        "{x}变成什么颜色？ | 什么颜色是{x}做的？ | 把{x}混在一起。",
        """
red and yellow | orange | 红色和黄色 | 橙色
blue and yellow | green | 蓝色和黄色 | 绿色
red and blue | purple | 红色和蓝色 | 紫色
red and white | pink | 红色和白色 | 粉色
black and white | gray | 黑色和白色 | 灰色
""",
        core=False,
    ),
    _group(
        "world",
        "{x}? | Tell me: {x}? | A small question: {x}?",
        "{x}？ | 告诉我：{x}？ | 一个小问题：{x}？",
        """
what do bees make | honey | 蜜蜂酿什么 | 蜂蜜
what falls from the clouds | rain | 云里落下什么 | 雨
what is frozen water | ice | 冻住的水是什么 | 冰
where does the sun rise | in the east | 太阳从哪里升起 | 东边
where does the sun set | in the west | 太阳从哪里落下 | 西边
what shines at night | the moon | 晚上什么发光 | 月亮
what do we read | books | 我们读什么 | 书
what do we see with | our eyes | 我们用什么看 | 眼睛
what do we hear with | our ears | 我们用什么听 | 耳朵
which animal is the largest | the whale | 最大的动物是什么 | 鲸鱼
which season is the coldest | winter | 哪个季节最冷 | 冬天
which season is the hottest | summer | 哪个季节最热 | 夏天
""",
        core=False,
    ),
)
