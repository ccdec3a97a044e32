// A client of MCP servers over stdio, by the official SDK: starts a server as an MCP client's
// configuration says, lists its tools, calls those that standard input names, one JSON object
// a line, and prints what came of it, one JSON object a line.
//
//   npm install @modelcontextprotocol/sdk
//   echo '{"name":"read_text_file","arguments":{"path":"/home/me/project/README.md"}}' |
//     node mcp_client.mjs CONFIGURATION SERVER
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [configuration, name] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

const { command, args, env } = JSON.parse(await readFile(configuration, "utf8")).mcpServers[name];
const client = new Client({ name: "mcp_client", version: "1.0.0" });
client.onerror = (error) => say({ problem: error.message });
await client.connect(new StdioClientTransport({ command, args, env }));

const { tools } = await client.listTools();
say({ tools: tools.map((tool) => tool.name) });

for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  // A tool that fails is an answer, too: the model is to read why.
  const { isError = false, content } = await client.callTool(call);
  say({ tool: call.name, ok: !isError, text: content.map((part) => part.text).join("\n") });
}

// Closes the server's standard input, and waits for its end.
await client.close();
