/** A JSON-RPC server over the chain of test/fakes/chain.ts, and ways to talk to it as a client does. */
import { connect } from 'node:net'
import { WebSocket } from 'ws'
import { createDesk } from '../../rpc/desk.ts'
import { createRpcServer, type RpcServer, type RpcServerOptions } from '../../rpc/server.ts'
import { createFakeChain, type FakeChain } from '../fakes/chain.ts'

export type RpcAnswer = {
  readonly jsonrpc: string
  readonly id: unknown
  readonly result?: unknown
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
}

export type Served = {
  readonly chain: FakeChain
  readonly server: RpcServer
  /** What the server told its log. */
  readonly logged: { readonly level: string; readonly event: string; readonly facts: Readonly<Record<string, unknown>> }[]
  /** The result of a call; throws for an error. */
  call(method: string, ...params: unknown[]): Promise<unknown>
  /** The error of a call. */
  fail(method: string, ...params: unknown[]): Promise<RpcAnswer['error']>
  /** Posts a body as it is. */
  post(
    body: string | Uint8Array,
    headers?: Record<string, string>,
  ): Promise<{ status: number; headers: Headers; text: string; json: unknown }>
}

export async function serve(options: Partial<RpcServerOptions> = {}, given?: FakeChain): Promise<Served> {
  const chain = given ?? (await createFakeChain())
  const logged: Served['logged'] = []
  const tell = (level: string) => (event: string, facts: Readonly<Record<string, unknown>>) => logged.push({ level, event, facts })
  const log = options.log ?? { info: tell('info'), error: tell('error') }
  const desk = createDesk({ chain, log, limits: options.limits, now: options.now })
  const server = await createRpcServer({ desk, intake: chain, host: '127.0.0.1', port: 0, ...options, log })
  const post: Served['post'] = async (body, headers = {}) => {
    const response = await fetch(server.url, {
      method: 'POST',
      body: body as string,
      headers: { 'content-type': 'application/json', ...headers },
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: text === '' ? undefined : JSON.parse(text) }
  }
  const ask = async (method: string, params: unknown[]) => {
    const { json } = await post(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }))
    return json as RpcAnswer
  }
  return {
    chain,
    server,
    logged,
    post,
    async call(method, ...params) {
      const answer = await ask(method, params)
      if (answer.error) throw new Error(`${method}: ${JSON.stringify(answer.error)}`)
      return answer.result
    },
    fail: async (method, ...params) => (await ask(method, params)).error,
  }
}

export type Socket = {
  call(method: string, ...params: unknown[]): Promise<RpcAnswer>
  send(text: string): void
  /** The next message that is no answer to a call, in order. */
  next(): Promise<unknown>
  readonly closed: Promise<number>
  /** Stops to read, and goes on. */
  pause(): void
  resume(): void
  close(): void
}

/** A WebSocket client. */
export async function openSocket(
  url: string,
  options: { readonly origin?: string; readonly host?: string; readonly autoPong?: boolean } = {},
): Promise<Socket> {
  const { origin, host, autoPong = true } = options
  const socket = new WebSocket(url, {
    autoPong,
    ...(origin === undefined ? {} : { origin }),
    ...(host === undefined ? {} : { headers: { host } }),
  })
  const answers = new Map<number, (answer: RpcAnswer) => void>()
  const messages: unknown[] = []
  const waiting: ((message: unknown) => void)[] = []
  let id = 0
  socket.on('message', (bytes: Buffer) => {
    const message = JSON.parse(bytes.toString()) as RpcAnswer
    const resolve = typeof message.id === 'number' ? answers.get(message.id) : undefined
    if (resolve) return resolve(message)
    const next = waiting.shift()
    if (next) next(message)
    else messages.push(message)
  })
  const closed = new Promise<number>((resolve) => socket.on('close', (code: number) => resolve(code)))
  await new Promise<void>((resolve, reject) => {
    socket.on('open', () => resolve())
    socket.on('error', reject)
  })
  return {
    closed,
    call(method, ...params) {
      const own = ++id
      const answer = new Promise<RpcAnswer>((resolve) => answers.set(own, resolve))
      socket.send(JSON.stringify({ jsonrpc: '2.0', id: own, method, params }))
      return answer
    },
    send: (text) => socket.send(text),
    next: () => new Promise((resolve) => (messages.length > 0 ? resolve(messages.shift()) : waiting.push(resolve))),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: () => socket.close(),
  }
}

/** Sends bytes over a bare socket and answers all that comes back until the server closes it. */
export function exchange(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(bytes))
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString()
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
}
