/** One case, one answer: which of our parts answers which kind. */
import type { Answer, Case } from './cases.ts'
import { answerArith, answerPrecompile } from './evmCases.ts'
import { answerKzg } from './kzgCase.ts'
import { answerEcdsa, answerRlp, answerTrie } from './smallCases.ts'
import { answerState } from './stateCase.ts'
import { answerTx } from './txCase.ts'

/** Answers a case. Throws where the case is not one of the protocol's, or we are wrong. Cases are answered one after another. */
export async function answerCase(input: Case): Promise<Answer> {
  switch (input.kind) {
    case 'state':
      return answerState(input)
    case 'tx':
      return answerTx(input)
    case 'rlp':
      return answerRlp(input)
    case 'trie':
      return answerTrie(input)
    case 'precompile':
      return answerPrecompile(input)
    case 'arith':
      return answerArith(input)
    case 'ecdsa':
      return answerEcdsa(input)
    case 'kzg':
      return answerKzg(input)
    default:
      return { unsupported: `kind ${JSON.stringify((input as { kind?: unknown }).kind)}` }
  }
}

/** The line that answers a line. Whatever goes wrong with a case becomes its answer (`error`), and `onError` is told. */
export async function answerLine(line: string, onError: (id: unknown, error: unknown) => void): Promise<string> {
  let id: unknown = null
  try {
    const input: Case = JSON.parse(line)
    id = input?.id ?? null
    return JSON.stringify({ id, ...(await answerCase(input)) })
  } catch (error) {
    onError(id, error)
    return JSON.stringify({ id, error: error instanceof Error ? error.message : String(error) })
  }
}
