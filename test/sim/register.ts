/**
 * Who said what: the register that stands for signatures, and the checks of what correct validators say. A vote or certificate is good if the
 * register has it, so forging is impossible, and a certificate that counts somebody wrongly is found. Validators are named by their place among all
 * validators of a run, whatever their index in a set.
 */
import { NIL, type Statement } from '../../consensus/digest.ts'
import { isAmnesia, isDoubleVote } from '../../consensus/evidence.ts'

export type Register = {
  has(who: number, statement: Statement): boolean
  /** A validator signs a statement. Of correct ones: invariants 3, 4 and 7. */
  add(who: number, statement: Statement): void
  /** Statements that died with the process that had signed them. */
  remove(who: number, gone: readonly Statement[]): void
  /** Who said just this. */
  whoSaid(statement: Statement): number[]
  /** Validators whose statements, taken together, contain an offence. */
  offenders(): number[]
}

export type RegisterPorts = {
  isCorrect(who: number): boolean
  violate(what: string): void
  /** True if these validators are a quorum at the height. */
  isQuorum(height: number, who: readonly number[]): boolean
}

export function createRegister({ isCorrect, violate, isQuorum }: RegisterPorts): Register {
  /** By height, then validator, then what was said. */
  const said = new Map<number, Map<number, Map<string, Statement>>>()

  function of(who: number, height: number): Map<string, Statement> {
    const atHeight = said.get(height) ?? new Map<number, Map<string, Statement>>()
    const own = atHeight.get(who) ?? new Map<string, Statement>()
    said.set(height, atHeight.set(who, own))
    return own
  }

  const has = (who: number, statement: Statement) => said.get(statement.height)?.get(who)?.has(nameOf(statement)) ?? false

  function whoSaid(statement: Statement): number[] {
    const name = nameOf(statement)
    return [...(said.get(statement.height) ?? [])].flatMap(([who, own]) => (own.has(name) ? [who] : []))
  }

  /** What a correct validator votes for rests on a polka: a precommit on one of its round, a prevote on the one it names. */
  function checkGround(who: number, { kind, height, round, validRound, blockHash }: Statement): void {
    if (blockHash === NIL || (kind === 'prevote' && validRound === -1) || kind === 'proposal') return
    const at = kind === 'precommit' ? round : validRound
    const prevotes = [...(said.get(height) ?? [])].flatMap(([of, own]) =>
      [...own.values()].flatMap((one) => (one.kind === 'prevote' && one.round === at && one.blockHash === blockHash ? [{ of, one }] : [])),
    )
    const validRounds = new Set(prevotes.map(({ one }) => one.validRound))
    const stands = [...validRounds].some((of) =>
      isQuorum(
        height,
        prevotes.filter(({ one }) => one.validRound === of).map((vote) => vote.of),
      ),
    )
    if (!stands) violate(`7: ${who} ${kind}d a block in round ${round} of height ${height} without a polka of round ${at}`)
  }

  return {
    has,
    whoSaid,
    offenders() {
      const offends = (all: readonly Statement[]) =>
        all.some((one) => all.some((other) => isDoubleVote(one, other) || isAmnesia(one, other)))
      const found = [...said.values()].flatMap((atHeight) =>
        [...atHeight].flatMap(([who, own]) => (offends([...own.values()]) ? [who] : [])),
      )
      return [...new Set(found)]
    },
    add(who, { kind, height, round, validRound, blockHash }) {
      const statement = { kind, height, round, validRound, blockHash }
      if (has(who, statement)) return
      const own = of(who, height)
      if (isCorrect(who)) {
        for (const other of own.values()) {
          if (isDoubleVote(other, statement)) violate(`3: ${who} signed two ${kind}s in round ${round} of height ${height}`)
          if (isAmnesia(other, statement) || isAmnesia(statement, other)) violate(`4: ${who} forgot its lock at height ${height}`)
        }
      }
      own.set(nameOf(statement), statement)
      if (isCorrect(who)) checkGround(who, statement)
    },
    remove(who, gone) {
      for (const statement of gone) said.get(statement.height)?.get(who)?.delete(nameOf(statement))
    },
  }
}

function nameOf({ kind, round, validRound, blockHash }: Statement): string {
  return `${kind} ${round} ${validRound} ${blockHash}`
}
