/**
 * Calls between two threads of a node: what is called is answered, what is told is not, both ways and in order over one port. Both ends are this
 * process's own code: nothing of what comes is checked. Messages of one turn go together.
 */
import { createOutbox } from './rpcMessages.ts'

/** The other thread is gone, failed at it, or has too much to answer. */
export class ThreadError extends Error {
  override readonly name = 'ThreadError'
  readonly retryable = false
}

/** What a thread does for the other, by name. Each takes one argument, of plain data and bytes. */
export type Handlers<H> = { readonly [N in keyof H]: (argument: never) => unknown }

type ArgumentOf<F> = F extends (argument: infer A) => unknown ? A : never
type AnswerOf<F> = F extends (argument: never) => infer R ? Awaited<R> : never

/** A thread's end, by which it uses what the other one does. */
export type ThreadPipe<Theirs> = {
  /** Rejects with ThreadError if there is no answer. */
  call<N extends keyof Theirs & string>(name: N, argument: ArgumentOf<Theirs[N]>): Promise<AnswerOf<Theirs[N]>>
  tell<N extends keyof Theirs & string>(name: N, argument: ArgumentOf<Theirs[N]>): void
  /** Takes what comes, and what came already. */
  listen(): void
  /** The other thread is gone: whoever waits is told why. */
  close(why: string): void
}

type Port = {
  postMessage(value: readonly unknown[], transfers: readonly ArrayBuffer[]): void
  on(event: 'message', listener: (messages: readonly Message[]) => void): unknown
}

type Message =
  | { readonly kind: 'tell'; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'call'; readonly id: number; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly why: string }

type Waiting = { resolve(value: unknown): void; reject(error: ThreadError): void }

/** Calls of one thread that wait for answers: far more than there is to ask for. */
const CALLS_MAX = 512

/** An end of the port. What a handler throws is the caller's answer where it was called, and this thread's end where it was told. */
export function createThreadPipe<Theirs, Ours extends Handlers<Ours>>(port: Port, handlers: Ours): ThreadPipe<Theirs> {
  const outbox = createOutbox<Message>(port)
  const waiting = new Map<number, Waiting>()
  let lastId = 0
  let closed: string | undefined

  async function answer(id: number, name: string, argument: unknown): Promise<void> {
    try {
      outbox.add({ kind: 'answer', id, value: await handlers[name as keyof Ours](argument as never) })
    } catch (error) {
      outbox.add({ kind: 'failure', id, why: error instanceof Error ? `${error.name}: ${error.message}` : String(error) })
    }
  }

  function take(message: Message): void {
    if (message.kind === 'call') void answer(message.id, message.name, message.argument)
    else if (message.kind === 'tell') handlers[message.name as keyof Ours](message.argument as never)
    else {
      const one = waiting.get(message.id)
      waiting.delete(message.id)
      if (message.kind === 'answer') one?.resolve(message.value)
      else one?.reject(new ThreadError(message.why))
    }
  }

  return {
    call: (name, argument) =>
      new Promise((resolve, reject) => {
        if (closed !== undefined || waiting.size >= CALLS_MAX) {
          reject(new ThreadError(closed ?? `too many calls wait for an answer, the last of them ${name}`))
          return
        }
        const id = ++lastId
        waiting.set(id, { resolve: resolve as Waiting['resolve'], reject })
        outbox.add({ kind: 'call', id, name, argument })
      }),
    tell(name, argument) {
      if (closed === undefined) outbox.add({ kind: 'tell', name, argument })
    },
    listen() {
      port.on('message', (messages) => {
        for (const message of messages) if (closed === undefined) take(message)
      })
    },
    close(why) {
      closed ??= why
      for (const { reject } of waiting.values()) reject(new ThreadError(why))
      waiting.clear()
    },
  }
}
