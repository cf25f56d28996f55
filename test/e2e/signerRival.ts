/**
 * One of several nodes that were given one signer by mistake: a process that asks it for votes on blocks of its own, height by height as its parent says,
 * and tells what it got. Started by signer.test.ts with the signer's address, the token's file, the chain id and its own number.
 */
import { bytesToHex, toHex } from 'viem'
import { NIL } from '../../consensus/digest.ts'
import type { Vote } from '../../consensus/message.ts'
import { createLog } from '../../node/log.ts'
import { openSigner } from '../../node/openSigner.ts'
import { openRemoteKey } from '../../node/remoteSigner.ts'
import { SignerError } from '../../node/signer.ts'
import { loadToken, parseSignerAddress } from '../../node/signerWire.ts'

/** What a rival tells of one question. */
export type RivalAnswer = {
  readonly vote: Omit<Vote, 'signature'>
  /** Or why there is none. */
  readonly signature: string | undefined
  readonly code: string | undefined
}

const ROUNDS = 3

const [url = '', tokenFile = '', chainId = '', number = ''] = process.argv.slice(2)
const log = createLog({ level: 'warn', json: true, write: (line) => process.stderr.write(line) })
const key = await openRemoteKey({
  address: parseSignerAddress(url, '--signer'),
  token: loadToken(tokenFile, { create: false }),
  chainId: Number(chainId),
  startMs: 30_000,
  log,
})
const signer = await openSigner(key.parts(), { domain: { chainId: Number(chainId), epochOf: () => 0 }, log })

async function ask(vote: RivalAnswer['vote']): Promise<RivalAnswer> {
  try {
    return { vote, signature: bytesToHex(await signer.sign(vote)), code: undefined }
  } catch (error) {
    if (!(error instanceof SignerError)) throw error
    return { vote, signature: undefined, code: error.code }
  }
}

/** Votes that no machine would give one after another: own blocks in every round, locked or not. */
async function voteAt(height: number): Promise<RivalAnswer[]> {
  const blockHash = toHex(height * 16 + Number(number), { size: 32 })
  const answers: RivalAnswer[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const base = { height, round, validRound: -1, validator: 0 }
    const votes: RivalAnswer['vote'][] = [
      { ...base, kind: 'prevote', blockHash },
      { ...base, kind: 'precommit', blockHash: (height + round) % 2 === 0 ? blockHash : NIL },
    ]
    answers.push(...(await Promise.all(votes.map(ask))))
  }
  return answers
}

process.on('message', (height: number) => {
  voteAt(height).then(
    (answers) => process.send?.(answers),
    (error) => {
      process.stderr.write(`${error}\n`)
      process.exit(1)
    },
  )
})
process.send?.('ready')
