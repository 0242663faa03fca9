"""The official clients of Ollama, OpenAI, LangChain and Hugging Face make every kind of call to the protocol server that the tests use:
what it says must be what they take for a real server's answer."""
import json
import math
import os
import subprocess

for name in list(os.environ):
    if name.startswith(("OLLAMA", "OPENAI", "HF_", "HUGGING", "LANG")) or name.lower().endswith("_proxy"):
        del os.environ[name]
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import huggingface_hub
import langchain_ollama
import ollama
import openai
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

server = subprocess.Popen(["target/release/examples/protocol_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
BASE = server.stdout.readline().strip()
SAID = "You said: What is a potato? (감자 🥔)"
ASK = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is a potato?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "size": {"type": "integer"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Get the weather.", "parameters": {
    "type": "object", "required": ["city"], "properties": {"city": {"type": "string", "description": "Name of the city"}}}}}
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
calls = 0


def same(seen, wanted):
    global calls
    calls += 1
    if seen != wanted:
        raise SystemExit(f"call {calls}: {seen!r} is not {wanted!r}")


def holds(what, seen=None):
    same((bool(what), seen), (True, seen))


def fails(kind, call, *parts):
    """The error of a call that must fail."""
    try:
        call()
    except kind as error:
        text = str(error)
        same([part for part in parts if part not in text], [])
        return error
    raise SystemExit(f"no {kind.__name__}")


def unit(vector):
    same((len(vector), round(math.sqrt(sum(x * x for x in vector)), 4)), (8, 1.0))


def with_ollama():
    client = ollama.Client(host=f"{BASE}/ollama")
    same([m.model for m in client.list().models], ["potato:latest", "plain:latest", "vectors:latest"])
    same(client.ps().models[0].context_length, 2048)
    shown = client.show("potato")
    same((shown.modelinfo["llama.context_length"], "tools" in shown.capabilities), (8192, True))
    whole = client.chat("potato", ASK, options={"temperature": 0, "num_predict": 50})
    same((whole.message.content, whole.done_reason, whole.eval_count), (SAID, "stop", 8))
    parts = list(client.chat("potato", ASK, stream=True, logprobs=True, top_logprobs=1))
    same("".join(p.message.content for p in parts), SAID)
    same((parts[-1].done, parts[0].logprobs[0].token, len(parts)), (True, "You", 9))
    same(client.chat("potato", ASK, options={"num_predict": 2}).done_reason, "length")
    same(client.chat("potato", ASK, options={"stop": ["What"]}).message.content, "You said: ")
    for form, wanted in (("json", {"potato": "감자"}), (SCHEMA, {"city": "Seoul", "size": 7})):
        same(json.loads(client.chat("potato", ASK, format=form).message.content), wanted)
    called = client.chat("potato", ASK, tools=[WEATHER]).message.tool_calls[0].function
    same((called.name, called.arguments), ("get_weather", {"city": "Seoul"}))
    lines = list(client.chat("potato", ASK, tools=[WEATHER], stream=True))
    same([line.message.tool_calls[0].function.name for line in lines if line.message.tool_calls], ["get_weather"])
    answered = ASK + [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Seoul"}}}]},
                      {"role": "tool", "content": "sunny", "tool_name": "get_weather"}]
    same(client.chat("potato", answered, tools=[WEATHER]).message.content, "You said: sunny (감자 🥔)")
    thought = client.chat("potato", ASK, think=True).message
    same((thought.thinking, thought.content), ("They ask. 감자!", SAID))
    same([line.message.thinking for line in client.chat("potato", ASK, think=True, stream=True) if line.message.thinking], ["They ask. 감자!"])
    seen = [{"role": "user", "content": "What is it?", "images": [PICTURE]}]
    same(client.chat("potato", seen).message.content, "You said: What is it? (감자 🥔)")
    same((client.chat("potato", []).done_reason, client.chat("potato", [], keep_alive=0).done_reason), ("load", "unload"))
    said = client.generate("potato", "What is a potato?")
    same((said.response, said.context), (SAID, [1, 4093, 198]))
    same("".join(p.response for p in client.generate("potato", "What is a potato?", stream=True, raw=True)), SAID)
    same(json.loads(client.generate("potato", "x", format=SCHEMA).response)["city"], "Seoul")
    same(client.generate("potato", "def f(", suffix="return 1").response, "You said: def f( (감자 🥔)")
    same(client.generate("potato", "", keep_alive=0).done_reason, "unload")
    made = client.embed("vectors", ["potato", "감자"])
    same((len(made.embeddings), made.embeddings[0] == client.embed("vectors", "potato").embeddings[0]), (2, True))
    unit(made.embeddings[1])
    unit(client.embeddings("vectors", "potato").embedding)
    same(client.embed("vectors", []).embeddings, [])
    same([p.status for p in client.pull("potato", stream=True)][-1], "success")
    same((client.pull("potato").status, client.create("spud", from_="potato").status), ("success", "success"))
    same((client.copy("potato", "spud").status, client.delete("potato").status), ("success", "success"))
    for status, call, *part in (
        (404, lambda: client.chat("nope", ASK), "model 'nope' not found"),
        (404, lambda: client.show("nope"), "model 'nope:latest' not found"),
        (404, lambda: client.embed("nope", "x"), "try pulling it first"),
        (404, lambda: client.delete("nope"), "not found"),
        (400, lambda: client.chat("plain", ASK, tools=[WEATHER]), "does not support tools"),
        (400, lambda: client.chat("plain", ASK, think=True), "does not support thinking"),
        (400, lambda: client.chat("vectors", ASK), "does not support chat"),
        (400, lambda: client.generate("potato", "x", raw=True, system="y"), "raw mode does not support"),
        (500, lambda: client.chat("potato", ASK, options={"stop": "x"}), "must be of type array"),
        (501, lambda: client.embed("plain", "x"), "does not support embeddings"),
    ):
        same(fails(ollama.ResponseError, call, *part).status_code, status)
    fails(ollama.ResponseError, lambda: list(client.pull("nope", stream=True)), "file does not exist")


def with_langchain():
    base = f"{BASE}/ollama"
    model = langchain_ollama.ChatOllama(model="potato", base_url=base, temperature=0)
    ask = [SystemMessage("Be short."), HumanMessage("What is a potato?")]
    answer = model.invoke(ask)
    same((answer.content, answer.response_metadata["done_reason"], answer.usage_metadata["output_tokens"]), (SAID, "stop", 8))
    same("".join(part.content for part in model.stream(ask)), SAID)
    called = model.bind_tools([WEATHER]).invoke(ask).tool_calls[0]
    same((called["name"], called["args"]), ("get_weather", {"city": "Seoul"}))
    history = ask + [AIMessage("", tool_calls=[called]), ToolMessage("sunny", tool_call_id=called["id"])]
    same(model.invoke(history).content, "You said: sunny (감자 🥔)")
    schema = {"title": "Place", "description": "A place.", **SCHEMA}
    same(model.with_structured_output(schema).invoke(ask), {"city": "Seoul", "size": 7})
    same(json.loads(langchain_ollama.ChatOllama(model="potato", base_url=base, format="json").invoke(ask).content), {"potato": "감자"})
    thinks = langchain_ollama.ChatOllama(model="potato", base_url=base, reasoning=True).invoke(ask)
    same((thinks.additional_kwargs["reasoning_content"], thinks.content), ("They ask. 감자!", SAID))
    text = langchain_ollama.OllamaLLM(model="potato", base_url=base)
    same((text.invoke("What is a potato?"), "".join(text.stream("What is a potato?"))), (SAID, SAID))
    vectors = langchain_ollama.OllamaEmbeddings(model="vectors", base_url=base)
    unit(vectors.embed_query("potato"))
    same(vectors.embed_documents(["potato", "감자"])[0], vectors.embed_query("potato"))
    fails(ollama.ResponseError, lambda: langchain_ollama.ChatOllama(model="nope", base_url=base).invoke(ask), "not found")


def with_openai(base, key, vectors=True):
    client = openai.OpenAI(base_url=base, api_key=key, max_retries=0)
    same([m.id for m in client.models.list()][0], "potato")
    chat = client.chat.completions.create
    whole = chat(model="potato", messages=ASK, temperature=0, max_completion_tokens=50)
    same((whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.completion_tokens), (SAID, "stop", 8))
    chunks = list(chat(model="potato", messages=ASK, stream=True, stream_options={"include_usage": True}))
    same("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), SAID)
    same((chunks[-1].usage.completion_tokens, chunks[-2].choices[0].finish_reason), (8, "stop"))
    same(chat(model="potato", messages=ASK, max_tokens=2).choices[0].finish_reason, "length")
    same(chat(model="potato", messages=ASK, stop=["What"]).choices[0].message.content, "You said: ")
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
    for form, wanted in ((form, {"city": "Seoul", "size": 7}), ({"type": "json_object"}, {"potato": "감자"})):
        same(json.loads(chat(model="potato", messages=ASK, response_format=form).choices[0].message.content), wanted)
    choice = chat(model="potato", messages=ASK, tools=[WEATHER]).choices[0]
    call = choice.message.tool_calls[0]
    same((choice.finish_reason, call.function.name, json.loads(call.function.arguments)), ("tool_calls", "get_weather", {"city": "Seoul"}))
    with client.chat.completions.stream(model="potato", messages=ASK, tools=[{**WEATHER, "function": {**WEATHER["function"], "strict": True}}]) as stream:
        stream.until_done()
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    same((call.id, json.loads(call.function.arguments)), ("call_ab12", {"city": "Seoul"}))
    history = ASK + [choice.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    same(chat(model="potato", messages=history).choices[0].message.content, "You said: sunny (감자 🥔)")
    picture = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}]
    same(chat(model="potato", messages=[{"role": "user", "content": picture}]).choices[0].message.content, "You said: What is it? (감자 🥔)")
    same(chat(model="potato", messages=ASK, logprobs=True).choices[0].logprobs.content[0].token, "You")
    complete = client.completions.create
    same(complete(model="potato", prompt="What is a potato?", max_tokens=50).choices[0].text, SAID)
    same("".join(c.choices[0].text for c in complete(model="potato", prompt="What is a potato?", stream=True) if c.choices), SAID)
    if vectors:
        floats = client.embeddings.create(model="vectors", input=["potato", "감자"], encoding_format="float").data
        coded = client.embeddings.create(model="vectors", input=["potato", "감자"]).data
        same([[round(x, 5) for x in row.embedding] for row in floats], [[round(x, 5) for x in row.embedding] for row in coded])
        unit(floats[1].embedding)
    same(client.models.retrieve("potato").id, "potato")
    fails(openai.NotFoundError, lambda: chat(model="nope", messages=ASK), "does not exist")
    fails(openai.NotFoundError, lambda: client.models.retrieve("nope"))
    fails(openai.BadRequestError, lambda: chat(model="potato", messages=[]), "too short")
    fails(openai.BadRequestError, lambda: chat(model="potato", messages=ASK, temperature=3), "temperature")
    if key == "sk-potato":
        wrong = openai.OpenAI(base_url=base, api_key="sk-wrong", max_retries=0)
        same(fails(openai.AuthenticationError, lambda: wrong.models.list(), "Incorrect API key").code, "invalid_api_key")


def with_gpt4all():
    client = openai.OpenAI(base_url=f"{BASE}/gpt4all/v1", api_key="x", max_retries=0)
    chat = client.chat.completions.create
    same(chat(model="Mistral", messages=ASK, max_tokens=50).choices[0].message.content, SAID)
    same((chat(model="Mistral", messages=ASK).model, client.completions.create(model="x", prompt="Hi").choices[0].text), ("potato", "You said: Hi (감자 🥔)"))
    fails(openai.BadRequestError, lambda: chat(model="x", messages=ASK, stream=True), "'stream' is not supported")
    fails(openai.BadRequestError, lambda: chat(model="x", messages=ASK, seed=1), "Unrecognized request argument supplied: seed")
    fails(openai.BadRequestError, lambda: chat(model="x", messages=[{"role": "tool", "content": "x"}]))


def with_huggingface():
    url = f"{BASE}/tgi"
    client = huggingface_hub.InferenceClient(url, token="hf_potato")
    same(client.text_generation("What is a potato?", return_full_text=False), SAID)
    same(client.text_generation("Hi", return_full_text=True), "HiYou said: Hi (감자 🥔)")
    full = client.text_generation("What is a potato?", details=True, return_full_text=False, max_new_tokens=2)
    same((full.generated_text, full.details.finish_reason, full.details.generated_tokens), ("You said:", "length", 2))
    # The client passes on the token that ends an answer.
    same("".join(client.text_generation("What is a potato?", stream=True, return_full_text=False)), SAID + "</s>")
    parts = list(client.text_generation("Hi", stream=True, details=True, return_full_text=False))
    same((parts[-1].details.finish_reason, parts[-1].token.special, parts[-1].generated_text), ("eos_token", True, "You said: Hi (감자 🥔)"))
    grammar = {"type": "json", "value": SCHEMA}
    same(json.loads(client.text_generation("x", grammar=grammar, return_full_text=False)), {"city": "Seoul", "size": 7})
    answer = client.chat_completion(ASK, max_tokens=50)
    same((answer.choices[0].message.content, answer.choices[0].finish_reason), (SAID, "stop"))
    chunks = list(client.chat_completion(ASK, stream=True, stream_options={"include_usage": True}))
    same("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), SAID)
    same(chunks[-1].usage.completion_tokens, 8)
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    same(json.loads(client.chat_completion(ASK, response_format=form).choices[0].message.content), {"city": "Seoul", "size": 7})
    call = client.chat_completion(ASK, tools=[WEATHER]).choices[0].message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": "Seoul"}))
    embedder = huggingface_hub.InferenceClient(f"{BASE}/tei")
    made = embedder.feature_extraction("potato")
    same(made.shape, (1, 8))
    unit(made[0].tolist())
    wrong = huggingface_hub.errors
    fails(wrong.ValidationError, lambda: client.text_generation("x", temperature=0, return_full_text=False), "strictly positive")
    fails(wrong.ValidationError, lambda: list(client.text_generation("x", temperature=0, stream=True)), "strictly positive")
    fails(wrong.HfHubHTTPError, lambda: embedder.feature_extraction("too long"), "512 tokens")
    fails(wrong.HfHubHTTPError, lambda: huggingface_hub.InferenceClient(f"{BASE}/nothing").text_generation("x"), "404")


try:
    with_ollama()
    with_langchain()
    with_openai(f"{BASE}/openai/v1", "sk-potato")
    with_openai(f"{BASE}/ollama/v1", "ollama")
    with_gpt4all()
    with_huggingface()
finally:
    server.stdin.close()
    server.wait(10)
print(f"{calls} answers were what the clients take for a server's")
