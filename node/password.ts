/** The password of a keystore: from a file, the environment or a terminal that does not show it. Never from the command line, which others can read. */
import { UsageError } from './config.ts'
import { readSecret } from './keys.ts'
import { passwordBytes } from './keystore.ts'

/** Bytes of a password for a new keystore, at least. */
const PASSWORD_BYTES_MIN = 8
/** Characters that are taken from a terminal. */
const TYPED_MAX = 1_024
/** What keys send in a terminal that leaves editing to the program. */
const [INTERRUPT, END_OF_INPUT, BACKSPACE, NEWLINE, ENTER, CLEAR_LINE, DELETE] = ['\u0003', '\u0004', '\b', '\n', '\r', '\u0015', '\u007f']

export type PasswordOptions = {
  /** The file that holds it; control characters, and so the end of the line, are no part of it. */
  readonly 'password-file': string | undefined
  /** TRIBUTARY_PASSWORD. */
  readonly password: string | undefined
}

/**
 * The password. For a new keystore it must have 8 bytes, and is typed twice. Throws UsageError if there is nowhere to take it from, or if it is too
 * short.
 */
export async function obtainPassword(options: PasswordOptions, { isNew }: { readonly isNew: boolean }): Promise<string> {
  const given = options['password-file'] === undefined ? options.password : readSecret(options['password-file'])
  const password = given ?? (await typePassword('Password of the keystore: '))
  if (isNew && passwordBytes(password).length < PASSWORD_BYTES_MIN) throw new UsageError(`a password needs ${PASSWORD_BYTES_MIN} bytes`)
  if (isNew && given === undefined && (await typePassword('The same again: ')) !== password)
    throw new UsageError('the two passwords differ')
  return password
}

/** Reads a line from the terminal without showing it. */
async function typePassword(prompt: string): Promise<string> {
  if (!process.stdin.isTTY)
    throw new UsageError('a password is needed: --password-file FILE, TRIBUTARY_PASSWORD in the environment, or a terminal')
  process.stdin.setRawMode(true) // before the prompt: who types at once is not shown either
  process.stderr.write(prompt)
  process.stdin.setEncoding('utf8')
  const typed: string[] = []
  let onData: (chunk: string) => void = () => {}
  let onEnd: () => void = () => {}
  try {
    return await new Promise<string>((resolve, reject) => {
      onData = (chunk) => {
        for (const character of chunk) {
          if (character === ENTER || character === NEWLINE || character === END_OF_INPUT) return resolve(typed.join(''))
          if (character === INTERRUPT) return reject(new UsageError('interrupted'))
          if (character === DELETE || character === BACKSPACE) typed.pop()
          else if (character === CLEAR_LINE) typed.length = 0
          else typed.push(character)
          if (typed.length > TYPED_MAX) return reject(new UsageError('the password is too long'))
        }
      }
      onEnd = () => reject(new UsageError('the terminal was closed'))
      process.stdin.on('data', onData)
      process.stdin.on('end', onEnd)
      process.stdin.resume()
    })
  } finally {
    process.stdin.off('data', onData)
    process.stdin.off('end', onEnd)
    process.stdin.pause()
    process.stdin.setRawMode(false)
    process.stderr.write('\n')
  }
}
