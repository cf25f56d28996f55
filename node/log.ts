/** Logs: an event and its facts, one line each, to stderr so that stdout stays for what was asked for. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type Facts = Readonly<Record<string, unknown>>
export type Log = { readonly [L in LogLevel]: (event: string, facts?: Facts) => void } & { child(room: string): Log }

const ORDER: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** A log that writes lines; `json` for machines. */
export function createLog(
  options: { readonly level: LogLevel; readonly json: boolean; readonly write: (line: string) => void },
  room = 'node',
): Log {
  const at =
    (level: LogLevel) =>
    (event: string, facts: Facts = {}) => {
      if (ORDER.indexOf(level) < ORDER.indexOf(options.level)) return
      const time = new Date().toISOString()
      if (options.json) options.write(`${JSON.stringify({ time, level, room, event, ...facts }, plain)}\n`)
      else options.write(`${time.slice(11, 23)} ${level.padEnd(5)} ${room}: ${event}${Object.entries(facts).map(toText).join('')}\n`)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: (name) => createLog(options, name) }
}

/** A log that is written elsewhere: of a thread, by the main one. `room`: undefined in its own. Facts are plain data. */
export function relayLog(say: (room: string | undefined, level: LogLevel, event: string, facts: Facts) => void, room?: string): Log {
  const at =
    (level: LogLevel) =>
    (event: string, facts: Facts = {}) =>
      say(room, level, event, facts)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: (name) => relayLog(say, name) }
}

/** The facts of an error: its name, message, and what it carries. */
export function errorFacts(error: unknown): Facts {
  if (!(error instanceof Error)) return { error: String(error) }
  const cause = error.cause instanceof Error ? { cause: error.cause.message.slice(0, 300) } : {}
  return { error: `${error.name}: ${error.message.slice(0, 500)}`, ...cause }
}

function toText([name, value]: [string, unknown]): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value, plain)
  return ` ${name}=${text}`
}

function plain(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
