"""The words of the domain in both languages, as tables.

Knows: shapes, colors, numbers, places, animals, things, people, days, months: their English and
Chinese forms and which of them are the core. Does not know: sentences.

The last column is ``*`` for the core. An underscore stands for a space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from finetune.nano.domain.width import DomainWidth, within


@dataclass(frozen=True)
class Word:
    """A meaning and how both languages say it.

    ``plural`` is English; ``measure`` is the Chinese measure word; ``counting`` is the Chinese
    form in front of a measure word (only of numbers: 二 is 两).
    """

    key: str
    en: str
    zh: str
    plural: str = ""
    measure: str = "个"
    counting: str = ""
    core: bool = False


def _rows(text: str) -> list[list[str]]:
    return [[cell.replace("_", " ") for cell in line.split()] for line in text.strip().split("\n")]


def _words(text: str) -> tuple[Word, ...]:
    """Columns: English, Chinese, [*]."""
    return tuple(Word(cells[0], cells[0], cells[1], core=cells[-1] == "*") for cells in _rows(text))


def _nouns(text: str) -> tuple[Word, ...]:
    """Columns: English, plural, Chinese, measure word, [*]."""
    return tuple(
        Word(cells[0], cells[0], cells[2], cells[1], cells[3], core=cells[-1] == "*")
        for cells in _rows(text)
    )


SHAPES = _nouns("""
circle circles 圆形 个 *
square squares 正方形 个 *
triangle triangles 三角形 个 *
star stars 星形 个 *
heart hearts 心形 个 *
diamond diamonds 菱形 个
cross crosses 十字形 个
ring rings 圆环 个
""")

COLORS = _words("""
red 红色 *
green 绿色 *
blue 蓝色 *
yellow 黄色 *
black 黑色 *
white 白色 *
orange 橙色
purple 紫色
pink 粉色
brown 棕色
gray 灰色
""")

SIZES = _words("""
big 大 *
small 小 *
""")

NUMBERS = tuple(
    Word(str(value), english, chinese, counting="两" if value == 2 else chinese, core=value <= 10)
    for value, (english, chinese) in enumerate(
        _rows("""
zero 零
one 一
two 二
three 三
four 四
five 五
six 六
seven 七
eight 八
nine 九
ten 十
eleven 十一
twelve 十二
thirteen 十三
fourteen 十四
fifteen 十五
sixteen 十六
seventeen 十七
eighteen 十八
nineteen 十九
twenty 二十
""")
    )
)
COUNTS = NUMBERS[2:11]  # how many of a thing a sentence speaks of

# Where something is in a picture.
PLACES = _words("""
on_the_left 左边 *
on_the_right 右边 *
at_the_top 上面 *
at_the_bottom 下面 *
in_the_middle 中间 *
at_the_top_left 左上角
at_the_top_right 右上角
at_the_bottom_left 左下角
at_the_bottom_right 右下角
""")

# Where one shape is from another.
RELATIONS = _words("""
left_of 左边 *
right_of 右边 *
above 上面 *
below 下面 *
""")

# Where one thing is from another.
SPOTS = _words("""
on 上面 *
under 下面 *
behind 后面 *
in_front_of 前面 *
next_to 旁边 *
left_of 左边
right_of 右边
""")

DIRECTIONS = _words("""
to_the_left 向左 *
to_the_right 向右 *
up 向上 *
down 向下 *
""")

ANIMALS = _nouns("""
cat cats 猫 只 *
dog dogs 狗 只 *
bird birds 鸟 只 *
fish fish 鱼 条 *
horse horses 马 匹 *
cow cows 牛 头 *
rabbit rabbits 兔子 只 *
tiger tigers 老虎 只 *
monkey monkeys 猴子 只 *
elephant elephants 大象 头 *
sheep sheep 羊 只
pig pigs 猪 头
duck ducks 鸭子 只
chicken chickens 鸡 只
mouse mice 老鼠 只
lion lions 狮子 头
bear bears 熊 头
frog frogs 青蛙 只
snake snakes 蛇 条
bee bees 蜜蜂 只
""")

THINGS = _nouns("""
table tables 桌子 张 *
chair chairs 椅子 把 *
book books 书 本 *
car cars 汽车 辆 *
house houses 房子 座 *
tree trees 树 棵 *
box boxes 盒子 个 *
ball balls 球 个 *
cup cups 杯子 个
door doors 门 扇
window windows 窗户 扇
bed beds 床 张
flower flowers 花 朵
hat hats 帽子 顶
bag bags 包 个
boat boats 船 条
train trains 火车 列
bike bikes 自行车 辆
clock clocks 钟 个
phone phones 电话 部
""")

FOODS = _nouns("""
apple apples 苹果 个
banana bananas 香蕉 根
egg eggs 鸡蛋 个
cake cakes 蛋糕 块
bread bread 面包 块
rice rice 米饭 碗
water water 水 杯
milk milk 牛奶 杯
tea tea 茶 杯
coffee coffee 咖啡 杯
""")

PEOPLE = _words("""
mother 妈妈 *
father 爸爸 *
sister 姐姐 *
brother 哥哥 *
friend 朋友 *
teacher 老师 *
doctor 医生
son 儿子
daughter 女儿
boss 老板
""")

DAYS = _words("""
Monday 星期一 *
Tuesday 星期二 *
Wednesday 星期三 *
Thursday 星期四 *
Friday 星期五 *
Saturday 星期六 *
Sunday 星期天 *
""")

MONTHS = _words("""
January 一月
February 二月
March 三月
April 四月
May 五月
June 六月
July 七月
August 八月
September 九月
October 十月
November 十一月
December 十二月
""")

TABLES: Mapping[str, tuple[Word, ...]] = {
    "shape": SHAPES,
    "color": COLORS,
    "size": SIZES,
    "number": NUMBERS,
    "count": COUNTS,
    "place": PLACES,
    "relation": RELATIONS,
    "spot": SPOTS,
    "direction": DIRECTIONS,
    "animal": ANIMALS,
    "thing": THINGS,
    "food": FOODS,
    "person": PEOPLE,
    "day": DAYS,
    "month": MONTHS,
}


@lru_cache(maxsize=64)
def table(name: str, width: DomainWidth) -> tuple[Word, ...]:
    """A table's words within a width; never empty.

    Raises:
        KeyError: there is no such table.
    """
    return within(TABLES[name], width) or TABLES[name]


@lru_cache(maxsize=256)
def word(name: str, key: str) -> Word:
    """One word of a table.

    Raises:
        KeyError: the table has no such word.
    """
    for entry in TABLES[name]:
        if entry.key == key:
            return entry
    raise KeyError(f"{name} has no {key}")
