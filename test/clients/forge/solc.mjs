#!/usr/bin/env node
/** The pinned compiler under the command line that forge expects of one: `--version`, or standard JSON from stdin to stdout. */
import process from 'node:process'
import { text } from 'node:stream/consumers'
import solc from 'solc'

if (process.argv.includes('--version')) process.stdout.write(`solc, the solidity compiler\nVersion: ${solc.version()}\n`)
else process.stdout.write(solc.compile(await text(process.stdin)))
