/**
 * The toy model's training texts. Each is one document, at whose end the model learns to stop.
 *
 * @since 0.1.0
 */

/** @internal */
export const documents: ReadonlyArray<string> = [
  "The river was low that summer, and the ferry stayed on its rope for days. Old Marten sat on the pier and " +
  "mended nets nobody had asked him to mend. When the children came down the hill he told them that rivers never " +
  "hurry; they only wait in a different place.\n",
  "A recurrent network reads one token at a time and keeps what matters in a state of fixed size. Nothing is " +
  "looked up again, so the thousandth token costs as much as the first. What the state forgets is gone, and that " +
  "is the price of being quick.\n",
  "Put the flour in a bowl, make a hollow, and pour in the warm milk with the yeast. Wait until it foams. Then " +
  "add the butter and a pinch of salt, knead for ten minutes, and let the dough rest under a cloth until it has " +
  "doubled.\n",
  "The lighthouse keeper counted ships the way other people count sheep. On clear nights there were dozens, on " +
  "foggy nights there were none, and on those nights he counted the seconds between two turns of the lamp " +
  "instead.\n",
  "Hello! I can help with that. First, tell me what you have tried so far and what you saw. If there is an error " +
  "message, copy it in full, because the last line is often the one that matters.\n",
  "A test that sleeps is a test that lies a little. Give the program a clock of its own, move the clock by hand, " +
  "and ask what has happened. The same steps will give the same answer today, tomorrow, and on a slower machine." +
  "\n",
  "In spring the market moves out of the hall and into the square. There are strawberries, early potatoes, and a " +
  "man who sells only knives. My grandmother buys one every year and gives it away before winter.\n",
  "Errors are values. A function that may fail should say so in its type, and the caller should decide what to " +
  "do about it. Nothing is gained by hiding a failure, except that somebody else has to find it later.\n",
  "Night fell slowly over the valley. One window was lit, then three, then a whole street of them, until the " +
  "village looked like a handful of sparks that somebody had dropped and forgotten to pick up.\n",
  "Question: why is the sky blue?\n\nAnswer: sunlight is made of many colours, and air scatters the short waves " +
  "more than the long ones. Blue light reaches us from every side, so the sky looks blue; at sunset the path is " +
  "longer, and mostly red is left.\n",
  "Once there was a tailor who could sew anything but pockets. His coats were warm and his seams were straight, " +
  "yet everybody who wore them walked about with both hands full. One day a girl brought him a bag of small " +
  "stones and asked for a coat to keep them in.\n",
  "春天来了，河边的柳树先绿了。孩子们把纸船放进水里，看着它们慢慢地漂远。老人坐在石头上说，水从来不着急，它只是" +
  "换了一个地方等待。\n",
  "循环神经网络一次只读一个词，把重要的内容记在固定大小的状态里。它不需要回头查看，所以第一千个词和第一" +
  "个词一样快。\n",
  "今天的天气很好，我们去山上看日出。太阳出来的时候，云变成了金色，大家都安静下来，谁也不想先说话。\n",
  "问：怎样学好一门语言？答：每天读一点，说一点，写一点。不要害怕说错，错误是最好的老师。\n",
  "他把信放在桌子上，没有打开。窗外下着雨，屋子里很静，只有钟在走。过了很久，他站起来，把灯点亮了。\n",
  "写程序就像写文章，先想清楚要说什么，再动手去写。好的名字比好的注释更重要，因为名字每天都有人读。\n",
  "春の朝、川のそばを歩く。風はまだ冷たいけれど、光はもう暖かい。小さな船がゆっくりと流れていく。\n",
  "今日は雨が降っています。部屋の中で本を読みながら、お茶を飲みました。\n",
  "오늘은 날씨가 좋아서 공원에 갔습니다. 나무 아래에 앉아서 책을 읽고 차를 마셨습니다.\n",
  "Here is the plan 🚀: small steps, clear names, and tests that never sleep. When it works we celebrate 🎉🎉, and " +
  "when it does not we read the message 🔍 and try again 🙂.\n",
  "Weather today: sunny ☀️ in the morning, clouds ⛅ after lunch, rain 🌧️ at night. Take an umbrella ☂️ and a " +
  "good book 📚.\n",
  "天气预报：上午晴 ☀️，下午多云 ⛅，晚上有雨 🌧️。出门请带伞 ☂️，祝你一天愉快 😊！\n",
  "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        yield a\n        a, b = b, a + b\n\n\nfor " +
  "value in fibonacci(10):\n    print(value)\n",
  "def read_lines(path):\n    with open(path, encoding=\"utf-8\") as file:\n        for line in file:\n" +
  "            line = line.strip()\n            if line and not line.startswith(\"#\"):\n                yield " +
  "line\n",
  "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n        " +
  "self.items.append(item)\n\n    def pop(self):\n        return self.items.pop()\n\n    def __len__(self):\n" +
  "        return len(self.items)\n",
  "import { Effect, Schedule } from \"effect\"\n\nconst program = Effect.gen(function*() {\n  const text = " +
  "yield* fetchText(\"/v1/status\")\n  return text.length\n})\n\nexport const main = program.pipe(\n  " +
  "Effect.retry(Schedule.recurs(3)),\n  Effect.timeout(\"5 seconds\")\n)\n",
  "export interface Point {\n  readonly x: number\n  readonly y: number\n}\n\nexport const distance = (a: Point, " +
  "b: Point): number => {\n  const dx = a.x - b.x\n  const dy = a.y - b.y\n  return Math.sqrt(dx * dx + dy * dy)" +
  "\n}\n",
  "const groupBy = <A>(items: ReadonlyArray<A>, key: (item: A) => string): Map<string, Array<A>> => {\n  const " +
  "groups = new Map<string, Array<A>>()\n  for (const item of items) {\n    const group = groups.get(key(item)) " +
  "?? []\n    group.push(item)\n    groups.set(key(item), group)\n  }\n  return groups\n}\n",
  "User: Can you write a short poem about the sea?\n\nAssistant: The sea has no door and no key,\nit comes to " +
  "the shore and goes free;\nit leaves you a shell,\na story to tell,\nand salt on the sleeve of your knee.\n",
  "User: 你好，请介绍一下你自己。\n\nAssistant: " +
  "你好！我是一个很小的语言模型，只读过几页文字。我会写一点中文，也会写一点代码，但是请不要太相信我。\n",
  "The train was late, and the platform had run out of things to look at. A boy read the timetable aloud to his " +
  "dog, station by station, with great feeling. At the last name on the list the dog barked once, and everybody " +
  "who was waiting laughed.\n",
  "To measure is to disturb. Ask a busy server how it feels a thousand times a second, and the honest answer " +
  "will be that it feels asked. Poll gently, wait longer after each silence, and stop when you know enough.\n"
]
