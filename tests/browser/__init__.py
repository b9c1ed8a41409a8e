"""Players as viewers have them: Chromium with hls.js and dash.js, ffmpeg, and a plain client."""
